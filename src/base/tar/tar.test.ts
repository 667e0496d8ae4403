import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SeededRandom } from '../../../test/support/seeded-random.ts';
import { tarChecksum } from './tar-format.ts';
import { type TarEntry, TarReader } from './tar-reader.ts';
import { type TarHeaderFields, tarEnd, tarHeader, tarPadding } from './tar-writer.ts';

function archiveOf(files: readonly (readonly [string | TarHeaderFields, Uint8Array])[]): Uint8Array {
  const parts = files.flatMap(([fields, content]) => [
    tarHeader(typeof fields === 'string' ? { name: fields, sizeBytes: content.length } : fields),
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

async function readEntries(archive: AsyncIterable<Uint8Array>): Promise<[TarEntry, Uint8Array][]> {
  const reader = new TarReader(archive);
  const files: [TarEntry, Uint8Array][] = [];
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
    const pieces: Uint8Array[] = [];
    for (let piece = await reader.read(); piece !== undefined; piece = await reader.read())
      pieces.push(piece);
    const content = Buffer.concat(pieces);
    expect(content.length).toBe(entry.sizeBytes);
    files.push([entry, new Uint8Array(content)]);
  }
  return files;
}

const readAll = async (archive: AsyncIterable<Uint8Array>): Promise<[string, Uint8Array][]> =>
  (await readEntries(archive)).map(([{ name }, content]) => [name, content]);

const random = new SeededRandom(1);
const FILES = [0, 1, 511, 512, 513, 5000].map((length, index): [string, Uint8Array] => [
  `00000001000000000000000${index}.partial`,
  Uint8Array.from({ length }, () => random.below(256)),
]);
const NOTHING = new Uint8Array(0);

/** Fits one field, fits two, fits none. */
const LONG_NAMES = [
  'a'.repeat(100),
  `${'b'.repeat(150)}/${'c'.repeat(100)}`,
  `${'d'.repeat(99)}/${'e'.repeat(3)}`,
  `${'f'.repeat(90)}/${'g'.repeat(101)}`,
  `${'h/'.repeat(500)}i`,
  'ü'.repeat(70),
];

test('an archive is read back, however it is cut into pieces', async () => {
  const archive = archiveOf(FILES);
  for (const lengths of [[archive.length], [1], [511, 2, 3], [512], [100, 0, 700]]) {
    expect(await readAll(stream(archive, lengths))).toEqual(FILES);
  }
});

test('directories, modes and long names are read back', async () => {
  const entries: [TarHeaderFields, Uint8Array][] = [
    [{ name: 'base', type: 'directory', sizeBytes: 0, mode: 0o755 }, NOTHING],
    ...LONG_NAMES.map((name): [TarHeaderFields, Uint8Array] => [
      { name, sizeBytes: 3 },
      Uint8Array.of(1, 2, 3),
    ]),
    ...LONG_NAMES.map((name): [TarHeaderFields, Uint8Array] => [
      { name: `${name}x`, type: 'directory', sizeBytes: 0 },
      NOTHING,
    ]),
  ];
  const read = await readEntries(stream(archiveOf(entries), [1000]));
  expect(read.map(([{ name, type, mode }]) => ({ name, type, mode }))).toEqual(
    entries.map(([{ name, type = 'file', mode }]) => {
      return { name, type, mode: mode ?? (type === 'file' ? 0o600 : 0o700) };
    }),
  );
  expect(read.map(([, content]) => content)).toEqual(entries.map(([, content]) => content));
});

test('the system’s tar lists what was written', () => {
  const files: [string | TarHeaderFields, Uint8Array][] = [
    ...FILES,
    ...LONG_NAMES.map((name): [string, Uint8Array] => [name, NOTHING]),
    [{ name: 'pg_wal/archive_status', type: 'directory', sizeBytes: 0, modifiedSeconds: 86_400 }, NOTHING],
  ];
  const input = archiveOf(files);
  const listing = execFileSync('tar', ['--quoting-style=literal', '-tvf', '-'], {
    input,
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8', TZ: 'UTC' },
  });
  const lines = listing.trim().split('\n');
  expect(lines).toHaveLength(files.length);
  for (const [index, [fields, content]] of files.entries()) {
    if (typeof fields !== 'string') continue;
    expect(lines[index]).toMatch(new RegExp(`^-rw------- .* ${content.length} .* ${fields}$`));
  }
  expect(lines.at(-1)).toMatch(/^drwx------ .* 1970-01-02 00:00 pg_wal\/archive_status\/$/);
});

test.each(['ustar', 'gnu', 'oldgnu', 'pax'])('what the system’s tar writes as %s is read', async (format) => {
  const directory = mkdtempSync(join(tmpdir(), 'varve-tar-'));
  try {
    const longName = `${'n'.repeat(80)}/${'m'.repeat(90)}`;
    mkdirSync(join(directory, 'in', 'n'.repeat(80)), { recursive: true });
    writeFileSync(join(directory, 'in', longName), 'content', { mode: 0o640 });
    symlinkSync('/elsewhere', join(directory, 'in', 'link'));
    const archive = join(directory, 'archive');
    const created = ['-C', join(directory, 'in'), '--sort=name', `--format=${format}`, '-cf', archive, '.'];
    execFileSync('tar', created);
    const read = await readEntries(stream(new Uint8Array(readFileSync(archive)), [10_000]));
    expect(read.map(([{ name, type, linkName }]) => [name, type, linkName])).toEqual([
      ['.', 'directory', ''],
      ['link', 'symlink', '/elsewhere'],
      ['n'.repeat(80), 'directory', ''],
      [longName, 'file', ''],
    ]);
    expect(read[3]?.[0].mode).toBe(0o640);
    expect(Buffer.from(read[3]?.[1] ?? NOTHING).toString()).toBe('content');
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('an archive that is cut off anywhere is refused', async () => {
  const archive = archiveOf([...FILES.slice(2, 4), [LONG_NAMES[4] as string, NOTHING]]);
  for (let length = 0; length < archive.length; length += 97) {
    await expect(readAll(stream(archive.subarray(0, length), [400]))).rejects.toThrow('cut off');
  }
});

/** The archive of one file with other bytes in its header, whose checksum is right. */
function changed(changes: readonly (readonly [number, string])[], name = 'file'): AsyncGenerator<Uint8Array> {
  const copy = archiveOf([[name, Uint8Array.of(1)]]);
  for (const [offset, text] of changes) copy.set(Buffer.from(text, 'latin1'), offset);
  copy.set(Buffer.from(`${tarChecksum(copy).toString(8).padStart(6, '0')}\0 `), 148);
  return stream(copy, [1000]);
}

test('a damaged header, other types and another format are refused', async () => {
  const archive = archiveOf(FILES.slice(1, 2));
  archive[3] = 0x41;
  await expect(readAll(stream(archive, [1000]))).rejects.toThrow('checksum');
  await expect(readAll(changed([]))).resolves.toHaveLength(1);
  await expect(readAll(changed([[100, 'x']]))).rejects.toThrow('is no number');
  for (const type of ['1', '3', '4', '6', 'S', 'V']) {
    await expect(readAll(changed([[156, type]]))).rejects.toThrow('something else than files');
  }
  await expect(readAll(changed([[156, '5']]))).rejects.toThrow('has content');
  await expect(readAll(changed([[257, 'tt']]))).rejects.toThrow('another format');
  await expect(readAll(changed([[124, '\x80\xff\xff\xff\xff\xff\xff\xff']]))).rejects.toThrow('too large');
  await expect(readAll(changed([[0, '\xff']]))).rejects.toThrow('no UTF-8');
});

test.each(['/etc/passwd', '../up', 'a/../b', 'a//b', './a/.', '', 'a/'])(
  'the name "%s" of a file is refused',
  async (name) => {
    await expect(readAll(changed([[0, `${name}\0\0\0\0\0`]]))).rejects.toThrow('no name within it');
    if (!name.startsWith('./')) expect(() => tarHeader({ name, sizeBytes: 0 })).toThrow('does not go into');
  },
);

test('what goes into no header is not written', () => {
  expect(() => tarHeader({ name: 'a\0b', sizeBytes: 0 })).toThrow('does not go into');
  expect(() => tarHeader({ name: 'a', sizeBytes: 8 ** 11 })).toThrow('does not go into');
  expect(() => tarHeader({ name: 'a', sizeBytes: -1 })).toThrow('does not go into');
  expect(() => tarHeader({ name: 'a', type: 'directory', sizeBytes: 1 })).toThrow('does not go into');
});

/** An archive of one file that has extended headers before it. */
function extended(type: string, contents: readonly string[]): AsyncGenerator<Uint8Array> {
  const parts = contents.flatMap((content) => {
    const header = tarHeader({ name: 'x', sizeBytes: Buffer.byteLength(content) });
    header[156] = type.charCodeAt(0);
    header.set(Buffer.from(`${tarChecksum(header).toString(8).padStart(6, '0')}\0 `), 148);
    return [header, Buffer.from(content), tarPadding(Buffer.byteLength(content))];
  });
  return stream(new Uint8Array(Buffer.concat([...parts, archiveOf([['file', NOTHING]])])), [1000]);
}

/** A pax record: its length counts itself. */
function paxField(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = Buffer.byteLength(rest) + 1;
  while (`${length}`.length + Buffer.byteLength(rest) !== length) length++;
  return `${length}${rest}`;
}

test('extended headers name and measure the entry behind them', async () => {
  const fields = paxField('comment', 'x'.repeat(200)) + paxField('path', 'renamed/é');
  expect(await readAll(extended('x', [fields]))).toEqual([['renamed/é', NOTHING]]);
  expect(await readAll(extended('L', ['long/name\0']))).toEqual([['long/name', NOTHING]]);
  expect(await readAll(extended('g', [paxField('comment', 'all of them')]))).toEqual([['file', NOTHING]]);
});

test.each([
  ['x', '5', 'cannot be read'],
  ['x', '0 a=b\n', 'cannot be read'],
  ['x', '999999 a=b\n', 'cannot be read'],
  ['x', '6 a=bc', 'cannot be read'],
  ['x', '2 =\n', 'cannot be read'],
  ['x', '5 =b\n', 'has no name'],
  ['x', paxField('path', '../up'), 'no name within it'],
  ['x', paxField('size', '1e3'), 'is no size'],
  ['x', paxField('size', '99999999999999999'), 'is no size'],
  ['x', paxField('GNU.sparse.major', '1'), 'has holes'],
  ['g', paxField('path', 'same'), 'given to all'],
  ['L', '/etc/passwd\0', 'no name within it'],
  ['L', 'x'.repeat(100_000), 'bytes are said of'],
])('an extended header of type %s with %j is refused', async (type, content, reason) => {
  await expect(readAll(extended(type, [content]))).rejects.toThrow(reason);
});

test('extended headers without an end, or an entry, are refused', async () => {
  const name = 'n'.repeat(20);
  await expect(
    readAll(
      extended(
        'L',
        Array.from({ length: 20 }, () => name),
      ),
    ),
  ).rejects.toThrow('too much');
  const header = tarHeader({ name: 'h/'.repeat(300).slice(0, -1), sizeBytes: 0 });
  const cut = Buffer.concat([header.subarray(0, header.length - 512), tarEnd()]);
  await expect(readAll(stream(new Uint8Array(cut), [512]))).rejects.toThrow('has announced');
});

test('a file that is longer than what it is read for is refused, or passed over', async () => {
  const reader = new TarReader(stream(archiveOf(FILES.slice(3)), [333]));
  expect((await reader.next())?.sizeBytes).toBe(512);
  await expect(reader.next()).rejects.toThrow('was not read');
  await expect(reader.readAll(511)).rejects.toThrow('never has 512 bytes');
  expect(await reader.readAll(512)).toEqual(FILES[3]?.[1]);
  expect((await reader.next())?.sizeBytes).toBe(513);
  await reader.skip();
  expect((await reader.next())?.sizeBytes).toBe(5000);
  await reader.skip();
  expect(await reader.next()).toBeUndefined();
});
