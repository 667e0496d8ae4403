import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Kernel } from '../../../test/sim/kernel.ts';
import {
  CAP,
  HoldingControl,
  makeWriter,
  makeWriterOn,
  patternOf,
} from '../../../test/support/buffered-writer-world.ts';
import { noSpace } from '../../../test/support/memory-file.ts';
import { SeededRandom } from '../../../test/support/seeded-random.ts';
import { FILES_ENGINES, openFilesEngine } from '../../io/node/files-engine.ts';
import { VirtualFiles } from '../../io/virtual-files.ts';
import type { BufferedWriter } from './buffered-writer.ts';

const chunkLengths = fc.array(
  fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 3 * CAP + 7 })),
  {
    maxLength: 30,
  },
);

/** Writes pieces one after another, by either way of writing, and gives their positions. */
async function writeAll(
  writer: BufferedWriter,
  bytes: Uint8Array,
  lengths: readonly number[],
): Promise<number[]> {
  const positions: number[] = [];
  let at = 0;
  for (const length of lengths) {
    const position = writer.tryWrite(bytes, at, at + length);
    positions.push(position >= 0 ? position : await writer.write(bytes, at, at + length));
    at += length;
  }
  return positions;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
const equal = (left: Uint8Array, right: Uint8Array): boolean => Buffer.compare(left, right) === 0;

/** Reads a range in both ways and compares it with what it must be. */
async function expectRange(
  writer: BufferedWriter,
  all: Uint8Array,
  position: number,
  length: number,
): Promise<void> {
  const expected = all.subarray(position, Math.min(position + length, writer.lengthBytes));
  const target = new Uint8Array(length + 5).fill(0xee);
  expect(writer.readNow(target, 3, length, position)).toBe(expected.length);
  expect(equal(target.subarray(3, 3 + expected.length), expected)).toBe(true);
  expect([target[2], target[3 + expected.length]]).toEqual([0xee, 0xee]);
  const later = new Uint8Array(length);
  expect(await writer.read(later, 0, length, position)).toBe(expected.length);
  expect(equal(later.subarray(0, expected.length), expected)).toBe(true);
}

describe('writing', () => {
  test('BW-01: small writes become writes of the cap, nothing becomes none, and the tail is written in the end', async () => {
    const { writer, file } = makeWriter();
    // Half a cap for each letter.
    for (const letters of ['abc', '', 'd', 'e', 'fg', 'hi', 'j', 'klmno']) {
      const piece = Buffer.concat([...letters].map((letter) => Buffer.alloc(CAP / 2, letter)));
      await writer.write(piece, 0, piece.length);
    }
    expect(await writer.finish()).toBe((15 * CAP) / 2);
    const text = Buffer.from(file.content);
    const pairs = file.writes.map(([position, length]) => {
      const letters = [position, position + CAP / 2].filter((at) => at < position + length);
      return letters.map((at) => String.fromCharCode(text[at] ?? 0)).join('');
    });
    expect(pairs).toEqual(['ab', 'cd', 'ef', 'gh', 'ij', 'kl', 'mn', 'o']);
    expect(file.writes.map(([, length]) => length)).toEqual([...new Array<number>(7).fill(CAP), CAP / 2]);
  });

  test('BW-01: nothing written is nothing done', async () => {
    const { writer, file } = makeWriter();
    expect(await writer.write(new Uint8Array(3), 2, 2)).toBe(0);
    expect(writer.tryWrite(new Uint8Array(0), 0, 0)).toBe(0);
    expect(await writer.finish()).toBe(0);
    expect(file.attempts).toEqual([]);
  });

  test('BW-02: whatever the pieces, the file is what was written, in writes of the cap', async () => {
    await fc.assert(
      fc.asyncProperty(chunkLengths, async (lengths) => {
        const { writer, file } = makeWriter();
        const bytes = patternOf(sum(lengths));
        const positions = await writeAll(writer, bytes, lengths);
        expect(positions).toEqual(lengths.map((_, index) => sum(lengths.slice(0, index))));
        expect(await writer.finish()).toBe(bytes.length);
        expect(equal(file.content, bytes)).toBe(true);
        const wholes = Math.floor(bytes.length / CAP);
        const tail = bytes.length % CAP;
        const expected = new Array<number>(wholes).fill(CAP);
        expect(file.writes.map(([, length]) => length)).toEqual(tail === 0 ? expected : [...expected, tail]);
      }),
    );
  });

  test('BW-03: a write begins where those submitted before it end, also after retries', async () => {
    const { kernel, writer, file } = makeWriter();
    let attempts = 0;
    file.failure = () => (++attempts % 3 === 0 ? undefined : noSpace());
    const bytes = patternOf(10 * CAP + 5);
    await kernel.perform(async () => {
      for (let at = 0; at < bytes.length; at += 1000) {
        await writer.write(bytes, at, Math.min(at + 1000, bytes.length));
        const { bytesSubmitted, lengthBytes, fileBytes } = writer;
        // Submitted is not written: one write may be under way.
        expect([0, CAP]).toContain(bytesSubmitted - fileBytes);
        expect(bytesSubmitted % CAP).toBe(0);
        expect(lengthBytes - bytesSubmitted).toBeLessThanOrEqual(CAP);
      }
      await writer.finish();
    });
    expect(file.writes.map(([position]) => position)).toEqual(Array.from({ length: 11 }, (_, n) => n * CAP));
    expect(file.attempts).toHaveLength(33);
    expect(equal(file.content, bytes)).toBe(true);
  });

  test('BW-04: a cap that is no multiple of the unit is a bug', () => {
    for (const capBytes of [0, -4096, 512, 5000, 4097])
      expect(() => makeWriter({ capBytes })).toThrow(/multiple/);
  });

  test.each(FILES_ENGINES)('BW-04: it writes to real files with the %s engine', async (name) => {
    const directory = await mkdtemp(join(tmpdir(), 'varve-writer-'));
    try {
      const { files: inner, descriptorsPerFile } = openFilesEngine(name);
      const files = new VirtualFiles(inner, { maxDescriptors: 8, descriptorsPerFile });
      const path = join(directory, 'open');
      const node = new Kernel(1).addNode('node');
      const { writer } = makeWriterOn(node, await files.openForUpdate(path), { capBytes: 16 * CAP });
      const bytes = patternOf(100 * CAP + 777);
      const random = new SeededRandom(7);
      while (writer.lengthBytes < bytes.length) {
        const at = writer.lengthBytes;
        await writer.write(bytes, at, Math.min(bytes.length, at + random.below(10_000)));
        if (random.chance(0.1)) await writer.flush();
        await expectRange(writer, bytes, random.below(at + 1), random.below(40 * CAP));
      }
      expect(await writer.finish()).toBe(bytes.length);
      await writer.file.close();
      expect(equal(await readFile(path), bytes)).toBe(true);
      expect(files.counts.descriptorsOpen).toBe(0);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test('BW-05: a gigabyte goes through two buffers', async () => {
    const { writer, file } = makeWriter({ capBytes: 1024 * 1024 });
    file.isBottomless = true;
    const piece = patternOf(256 * 1024);
    for (let count = 0; count < 4096; count++) {
      if (writer.tryWrite(piece, 0, piece.length) < 0) await writer.write(piece, 0, piece.length);
    }
    expect(await writer.finish()).toBe(1024 ** 3);
    expect(file.sources.size).toBe(2);
    expect(sum([...file.sources].map((memory) => memory.byteLength))).toBe(2 * 1024 * 1024);
    expect(file.writes).toHaveLength(1024);
    expect(file.underWayMax).toBe(1);
  });

  test('BW-06: on a stalled disk two caps are accepted, and then writing waits', async () => {
    const { kernel, node, writer, file } = makeWriter();
    const { promise, resolve } = Promise.withResolvers<void>();
    file.stall = promise;
    const bytes = patternOf(5 * CAP);
    expect(writer.tryWrite(bytes, 0, 2 * CAP + 1)).toBe(-1);
    let at = 0;
    while (writer.tryWrite(bytes, at, at + 100) >= 0) at += 100;
    expect(at).toBe(Math.floor((2 * CAP) / 100) * 100);
    let isWritten = false;
    const writing = writer.write(bytes, at, bytes.length).then(() => {
      isWritten = true;
    });
    expect(writer.tryWrite(bytes, 0, 1)).toBe(-1);
    await kernel.perform(
      () => new Promise<void>((done) => void node.incarnation?.doors.clock.setTimer(60_000, done)),
    );
    expect([isWritten, writer.lengthBytes, file.attempts.length]).toEqual([false, 2 * CAP, 1]);
    resolve();
    await writing;
    expect(await writer.finish()).toBe(bytes.length);
    expect(equal(file.content, bytes)).toBe(true);
    expect(file.underWayMax).toBe(1);
  });

  test('BW-06: two who write at once are a bug', async () => {
    const { writer, file } = makeWriter();
    const { promise, resolve } = Promise.withResolvers<void>();
    file.stall = promise;
    const writing = writer.write(patternOf(3 * CAP), 0, 3 * CAP);
    await expect(writer.write(patternOf(1), 0, 1)).rejects.toThrow(/two write at once/);
    await expect(writer.finish()).rejects.toThrow(/within a write/);
    resolve();
    await writing;
    expect(await writer.finish()).toBe(3 * CAP);
  });

  test('BW-16: finishing brings all into the file, ends the task, and gives the length', async () => {
    const { writer, file, gate } = makeWriter();
    const bytes = patternOf(3 * CAP + 77);
    await writer.write(bytes, 0, bytes.length);
    expect(gate.inside).toBe(1);
    expect(await writer.finish()).toBe(bytes.length);
    expect([gate.inside, file.underWay]).toEqual([0, 0]);
    expect(writer.lengthBytes).toBe(bytes.length);
    expect(equal(file.content, bytes)).toBe(true);
    await expectRange(writer, bytes, 100, 4 * CAP);
    await expectRange(writer, bytes, bytes.length, 10);
    expect(() => writer.tryWrite(bytes, 0, 1)).toThrow(/finished/);
    await expect(writer.write(bytes, 0, 1)).rejects.toThrow(/finished/);
    await expect(writer.flush()).rejects.toThrow(/finished/);
    await expect(writer.finish()).rejects.toThrow(/finished/);
    await gate.close();
  });

  test('BW-16: flushing brings a part of a buffer into the file, and its whole later in one write', async () => {
    const { writer, file } = makeWriter();
    const bytes = patternOf(3 * CAP);
    for (const [end, size] of [
      [100, 100],
      [100, 100],
      [CAP + 700, CAP + 700],
      [2 * CAP, 2 * CAP],
      [2 * CAP + 1, 2 * CAP + 1],
    ] as const) {
      await writer.write(bytes, writer.lengthBytes, end);
      await writer.flush();
      expect(equal(file.content, bytes.subarray(0, size))).toBe(true);
      await expectRange(writer, bytes, 0, 3 * CAP);
    }
    expect(await writer.finish()).toBe(2 * CAP + 1);
    expect(file.writes).toEqual([
      [0, 100],
      [0, CAP],
      [CAP, 700],
      [CAP, CAP],
      [2 * CAP, 1],
    ]);
  });

  test('BW-16: what is written while a part is flushed is not lost', async () => {
    const control = new HoldingControl('after 0');
    const { writer, file } = makeWriter({ control });
    const bytes = patternOf(2 * CAP);
    await writer.write(bytes, 0, 100);
    const flushed = writer.flush();
    await control.reached('after 0');
    expect(writer.tryWrite(bytes, 100, 2 * CAP)).toBe(100);
    expect(writer.tryWrite(bytes, 0, 1)).toBe(-1);
    await expectRange(writer, bytes, 0, 2 * CAP);
    control.release('after 0');
    await flushed;
    const finished = writer.finish();
    // The second time it is the whole buffer.
    await expect.poll(() => control.passed.filter((place) => place === 'after 0').length).toBe(2);
    control.release('after 0');
    expect(await finished).toBe(2 * CAP);
    expect(equal(file.content, bytes)).toBe(true);
    expect(file.writes.map(([, length]) => length)).toEqual([100, CAP, CAP]);
  });
});

describe('reading', () => {
  test('BW-07: while a flush is held, every accepted byte is read', async () => {
    const control = new HoldingControl('before 4096');
    const { writer } = makeWriter({ control });
    const bytes = patternOf(3 * CAP);
    await writer.write(bytes, 0, CAP);
    await writer.flush();
    await writer.write(bytes, CAP, 2 * CAP + 500);
    await control.reached('before 4096');
    expect([writer.fileBytes, writer.bytesSubmitted, writer.lengthBytes]).toEqual([
      CAP,
      2 * CAP,
      2 * CAP + 500,
    ]);
    for (let position = 0; position <= writer.lengthBytes; position += 50) {
      await expectRange(writer, bytes, position, 50);
      await expectRange(writer, bytes, position, 3 * CAP);
    }
    control.release('before 4096');
    await writer.finish();
  });

  test('BW-08: reads across file, flight and filling are right, while flushes run on a simulated disk', async () => {
    let overAllThree = 0;
    for (let seed = 1; seed <= 10; seed++) {
      const kernel = new Kernel(seed);
      const node = kernel.addNode('node');
      node.disk.provideDirectory('/data');
      const { doors } = node.start(() => undefined);
      const random = new SeededRandom(seed);
      const bytes = patternOf(40 * CAP + 123, seed);
      await kernel.perform(async () => {
        const { writer } = makeWriterOn(node, await doors.files.openForUpdate('/data/open'));
        const reads: Promise<void>[] = [];
        while (writer.lengthBytes < bytes.length) {
          const at = writer.lengthBytes;
          await writer.write(bytes, at, Math.min(bytes.length, at + 1 + random.below(CAP)));
          const { fileBytes, bytesSubmitted, lengthBytes } = writer;
          const borders = [0, fileBytes, bytesSubmitted, lengthBytes, random.below(lengthBytes)];
          const position = Math.max(0, random.pick(borders) + random.below(5) - 2);
          const length = random.chance(0.5) ? random.below(4 * CAP) : random.below(4);
          if (position < fileBytes && position + length > bytesSubmitted && bytesSubmitted > fileBytes) {
            overAllThree++;
          }
          reads.push(expectRange(writer, bytes, position, length));
        }
        await Promise.all(reads);
        await writer.finish();
        await writer.file.close();
        await using file = await doors.files.open('/data/open');
        const content = new Uint8Array(file.sizeBytes);
        await file.read(content, 0, content.length, 0);
        expect(equal(content, bytes)).toBe(true);
      });
    }
    expect(overAllThree).toBeGreaterThan(20);
  });

  test('BW-08: a read of the file goes on while memory moves into the file', async () => {
    const { writer, file } = makeWriter();
    const bytes = patternOf(6 * CAP);
    await writer.write(bytes, 0, CAP);
    await writer.flush();
    await writer.write(bytes, CAP, 2 * CAP + 10);
    const { promise, resolve } = Promise.withResolvers<void>();
    file.readStall = promise;
    const target = new Uint8Array(2 * CAP + 10);
    const reading = writer.read(target, 0, target.length, 0);
    // Both buffers are used anew.
    await writer.write(bytes, 2 * CAP + 10, 6 * CAP);
    await writer.flush();
    resolve();
    expect(await reading).toBe(target.length);
    expect(equal(target, bytes.subarray(0, target.length))).toBe(true);
    await writer.finish();
  });

  test('BW-08: what is in the file is not read from memory', async () => {
    const { writer } = makeWriter();
    await writer.write(patternOf(CAP), 0, CAP);
    await writer.flush();
    expect(() => writer.readMemory(new Uint8Array(1), 0, 1, CAP - 1)).toThrow(/is in the file/);
    expect(writer.readMemory(new Uint8Array(1), 0, 1, CAP)).toBe(0);
    expect(writer.readMemory(new Uint8Array(1), 0, 1, CAP + 100)).toBe(0);
  });

  test('BW-08: a file that has lost bytes is found out', async () => {
    const { writer, file } = makeWriter();
    await writer.write(patternOf(CAP), 0, CAP);
    await writer.flush();
    await file.resize(100);
    const target = new Uint8Array(CAP);
    expect(() => writer.readNow(target, 0, CAP, 0)).toThrow(/shorter/);
    await expect(writer.read(target, 0, CAP, 0)).rejects.toThrow(/shorter/);
  });

  test('BW-08: a file that cannot be read now is read later', async () => {
    const { writer, file } = makeWriter();
    await writer.write(patternOf(CAP + 1), 0, CAP + 1);
    await writer.flush();
    file.readNow = () => -1;
    const target = new Uint8Array(10);
    expect(writer.readNow(target, 0, 10, CAP - 1)).toBe(-1);
    expect(writer.readNow(target, 0, 10, CAP)).toBe(1);
  });

  const places = [0, 1, 2].flatMap((index) => [`before ${index * CAP}`, `after ${index * CAP}`]);
  test.each(places)('BW-09: every accepted byte is read when the flush ends %s', async (place) => {
    const control = new HoldingControl(place);
    const { writer, cancel } = makeWriter({ control });
    const bytes = patternOf(5 * CAP);
    const accept = async (): Promise<void> => {
      for (let at = 0; at < bytes.length; at += 500)
        await writer.write(bytes, at, Math.min(at + 500, bytes.length));
    };
    const accepting = accept().catch((error: unknown) => error);
    await control.reached(place);
    cancel.abort();
    control.release(place);
    expect(await accepting).toMatchObject({ kind: 'cancelled', code: 'CANCELLED' });
    const { lengthBytes } = writer;
    expect(lengthBytes).toBeGreaterThan(CAP);
    for (let position = 0; position < lengthBytes; position += 333)
      await expectRange(writer, bytes, position, CAP);
  });

  test('BW-17: a flush is held before it begins, and before it is known to be done', async () => {
    const control = new HoldingControl('before 0', 'after 0');
    const { writer, file } = makeWriter({ control });
    const bytes = patternOf(CAP);
    await writer.write(bytes, 0, CAP);
    await control.reached('before 0');
    expect([file.attempts.length, writer.fileBytes, writer.bytesSubmitted]).toEqual([0, 0, CAP]);
    control.release('before 0');
    await control.reached('after 0');
    expect([file.writes.length, writer.fileBytes]).toEqual([1, 0]);
    control.release('after 0');
    await writer.flush();
    expect(writer.fileBytes).toBe(CAP);
    expect(control.passed).toEqual(['before 0', 'after 0']);
  });
});
