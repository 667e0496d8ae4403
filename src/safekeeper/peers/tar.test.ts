import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { SeededRandom } from '../../../test/support/seeded-random.ts';
import { TarReader, tarEnd, tarHeader, tarPadding } from './tar.ts';

function archiveOf(files: readonly (readonly [string, Uint8Array])[]): Uint8Array {
  const parts = files.flatMap(([name, content]) => [
    tarHeader({ name, sizeBytes: content.length }),
    content,
    tarPadding(content.length),
  ]);
  return new Uint8Array(Buffer.concat([...parts, tarEnd()]));
}

/** In pieces of these lengths, over and over. */
async function* stream(bytes: Uint8Array, lengths: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const length = lengths[turn % lengths.length] as number;
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

async function readAll(archive: AsyncIterable<Uint8Array>): Promise<[string, Uint8Array][]> {
  const reader = new TarReader(archive);
  const files: [string, Uint8Array][] = [];
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
    const pieces: Uint8Array[] = [];
    for (let piece = await reader.read(); piece !== undefined; piece = await reader.read())
      pieces.push(piece);
    const content = Buffer.concat(pieces);
    expect(content.length).toBe(entry.sizeBytes);
    files.push([entry.name, new Uint8Array(content)]);
  }
  return files;
}

const random = new SeededRandom(1);
const FILES = [0, 1, 511, 512, 513, 5000].map((length, index): [string, Uint8Array] => [
  `00000001000000000000000${index}.partial`,
  Uint8Array.from({ length }, () => random.below(256)),
]);

test('an archive is read back, however it is cut into pieces', async () => {
  const archive = archiveOf(FILES);
  for (const lengths of [[archive.length], [1], [511, 2, 3], [512], [100, 0, 700]]) {
    expect(await readAll(stream(archive, lengths))).toEqual(FILES);
  }
});

test('the system’s tar lists what was written', () => {
  const listing = execFileSync('tar', ['-tvf', '-'], { input: archiveOf(FILES), encoding: 'utf8' });
  const lines = listing.trim().split('\n');
  expect(lines).toHaveLength(FILES.length);
  for (const [index, [name, content]] of FILES.entries()) {
    expect(lines[index]).toMatch(new RegExp(` ${content.length} .* ${name}$`));
  }
});

test('an archive that is cut off anywhere is refused', async () => {
  const archive = archiveOf(FILES.slice(2, 4));
  for (let length = 0; length < archive.length; length += 97) {
    await expect(readAll(stream(archive.subarray(0, length), [400]))).rejects.toThrow('cut off');
  }
});

test('a damaged header, another type and another format are refused', async () => {
  const archive = archiveOf(FILES.slice(1, 2));
  const changed = (...changes: readonly (readonly [number, number])[]): Promise<unknown> => {
    const copy = archive.slice();
    for (const [offset, byte] of changes) copy[offset] = byte;
    return readAll(stream(copy, [1000]));
  };
  await expect(changed([3, 0x41])).rejects.toThrow('checksum');
  await expect(changed([148, 0x78])).rejects.toThrow('is no number');
  // A link (2 instead of 0), and a mode of 0400, so that the sum stays.
  await expect(changed([156, 0x32], [104, 0x34])).rejects.toThrow('something else than files');
  await expect(changed([257, 0x74], [258, 0x74])).rejects.toThrow('another format');
  expect(() => tarHeader({ name: 'a b', sizeBytes: 0 })).toThrow('does not go into');
  expect(() => tarHeader({ name: 'a'.repeat(101), sizeBytes: 0 })).toThrow('does not go into');
});
