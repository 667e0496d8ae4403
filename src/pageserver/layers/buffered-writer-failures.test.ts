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
import { VarveError } from '../../base/errors.ts';
import type { BufferedWriter } from './buffered-writer.ts';

const CANCELLED = { kind: 'cancelled', code: 'CANCELLED' };
const equal = (left: Uint8Array, right: Uint8Array): boolean => Buffer.compare(left, right) === 0;
const failure = (action: Promise<unknown>): Promise<unknown> =>
  action.then(
    () => undefined,
    (error: unknown) => error,
  );

async function readAll(writer: BufferedWriter): Promise<Uint8Array> {
  const { lengthBytes } = writer;
  const target = new Uint8Array(lengthBytes);
  expect(await writer.read(target, 0, lengthBytes, 0)).toBe(lengthBytes);
  const now = new Uint8Array(lengthBytes);
  expect(writer.readNow(now, 0, lengthBytes, 0)).toBe(lengthBytes);
  expect(equal(target, now)).toBe(true);
  return target;
}

describe('failing writes', () => {
  test.each([1, 2, 3, 5, 10, 25, 50])(
    'BW-10: %i failures of any writes cost nothing but time',
    async (failures) => {
      for (let seed = 1; seed <= 5; seed++) {
        const { kernel, writer, file } = makeWriter({ seed });
        const random = new SeededRandom(seed * 100 + failures);
        let left = failures;
        file.failure = () => {
          if (left === 0 || random.chance(0.3)) return undefined;
          left--;
          return noSpace();
        };
        const bytes = patternOf(60 * CAP + 9, seed);
        await kernel.perform(async () => {
          for (let at = 0; at < bytes.length; at += 3000) {
            await writer.write(bytes, at, Math.min(at + 3000, bytes.length));
          }
          expect(await writer.finish()).toBe(bytes.length);
        });
        expect(left).toBe(0);
        expect(equal(file.content, bytes)).toBe(true);
        expect(file.attempts).toHaveLength(61 + failures);
        expect(file.writes.map(([position]) => position)).toEqual(
          Array.from({ length: 61 }, (_, n) => n * CAP),
        );
        expect(kernel.nowUs).toBeGreaterThan(0);
      }
    },
  );

  test('BW-11: a disk that fails for ever does not hold up the end of the timeline', async () => {
    const { kernel, writer, file, gate, cancel, node } = makeWriter({ retryMs: [1000, 60_000] });
    file.failure = noSpace;
    await kernel.perform(async () => {
      const bytes = patternOf(3 * CAP);
      const writing = failure(writer.write(bytes, 0, bytes.length));
      const clock = node.incarnation!.doors.clock;
      await new Promise<void>((resolve) => void clock.setTimer(600_000, resolve));
      expect(file.attempts.length).toBeGreaterThan(10);
      const startMs = clock.monotonicMs();
      cancel.abort();
      await gate.close();
      expect(await writing).toMatchObject(CANCELLED);
      expect(clock.monotonicMs() - startMs).toBeLessThan(2000);
    });
    expect(file.underWay).toBe(0);
  });

  test.each([
    ['no space', noSpace()],
    ['no permission', new VarveError('precondition', 'PERMISSION_DENIED', 'the file system is read-only')],
    ['a wrong path', new VarveError('bad-request', 'BAD_PATH', 'the path is too long')],
    ['something lost', new VarveError('not-found', 'FILE_NOT_FOUND', 'there is no such file')],
  ])('BW-12: cancellation is the only error of each method, whatever fails: %s', async (_, error) => {
    const { kernel, writer, file, cancel } = makeWriter();
    file.failure = () => error;
    await kernel.perform(async () => {
      const bytes = patternOf(3 * CAP);
      expect(writer.tryWrite(bytes, 0, 2 * CAP)).toBe(0);
      const flushing = failure(writer.flush());
      const writing = failure(writer.write(bytes, 0, 3 * CAP));
      await expect.poll(() => file.attempts.length).toBeGreaterThan(0);
      cancel.abort(new Error('the timeline is detached'));
      const cause = expect.objectContaining({ message: 'the timeline is detached' });
      expect(await flushing).toMatchObject({ ...CANCELLED, cause });
      expect(await writing).toMatchObject({ ...CANCELLED, cause });
      expect(await failure(writer.finish())).toMatchObject({ ...CANCELLED, cause });
      expect(await failure(writer.flush())).toMatchObject({ ...CANCELLED, cause });
    });
  });

  test('BW-13: after a cancelled flush writing fails at once, and no byte reaches the file', async () => {
    const { kernel, writer, file, cancel } = makeWriter();
    file.failure = noSpace;
    const bytes = patternOf(CAP + 10);
    await kernel.perform(async () => {
      await writer.write(bytes, 0, bytes.length);
      const flushing = failure(writer.flush());
      cancel.abort();
      expect(await flushing).toMatchObject(CANCELLED);
      await new Promise<void>((resolve) => setImmediate(resolve));
      const attempts = file.attempts.length;
      const content = Buffer.from(file.content);
      // The disk has recovered, and it is too late.
      file.failure = undefined;
      for (let count = 0; count < 3; count++) {
        expect(() => writer.tryWrite(bytes, 0, 1)).toThrow(VarveError);
        expect(await failure(writer.write(bytes, 0, 1))).toMatchObject(CANCELLED);
        expect(await failure(writer.write(bytes, 0, bytes.length))).toMatchObject(CANCELLED);
        expect(await failure(writer.flush())).toMatchObject(CANCELLED);
        expect(await failure(writer.finish())).toMatchObject(CANCELLED);
      }
      expect(file.attempts.length).toBe(attempts);
      expect(equal(file.content, content)).toBe(true);
      expect(writer.lengthBytes).toBe(bytes.length);
    });
  });

  test('BW-13: a writer of a timeline that is cancelled already writes nothing', async () => {
    const { writer, cancel, gate, file } = makeWriter();
    cancel.abort();
    expect(() => writer.tryWrite(patternOf(1), 0, 1)).toThrow(/cancelled/);
    await gate.close();
    expect(file.attempts).toEqual([]);
  });

  test('BW-14: a hundred readers that wait when it is cancelled get the right bytes', async () => {
    const { kernel, writer, file, cancel } = makeWriter();
    const bytes = patternOf(3 * CAP - 50);
    await kernel.perform(async () => {
      await writer.write(bytes, 0, CAP);
      await writer.flush();
      file.failure = noSpace;
      await writer.write(bytes, CAP, bytes.length);
      const { promise, resolve } = Promise.withResolvers<void>();
      file.readStall = promise;
      const readers = Array.from({ length: 100 }, async (_, index) => {
        const position = index * 120;
        const target = new Uint8Array(bytes.length);
        const count = await writer.read(target, 0, target.length, position);
        return equal(target.subarray(0, count), bytes.subarray(position));
      });
      cancel.abort();
      expect(await failure(writer.flush())).toMatchObject(CANCELLED);
      resolve();
      expect(await Promise.all(readers)).toEqual(new Array(100).fill(true));
      // Those who come later as well.
      expect(equal(await readAll(writer), bytes)).toBe(true);
      expect(writer.fileBytes).toBe(CAP);
    });
  });

  test('BW-15: half a minute without space: what was accepted is read, and what waits goes on by itself', async () => {
    const kernel = new Kernel(3);
    const node = kernel.addNode('node');
    node.disk.provideDirectory('/data');
    const { doors } = node.start(() => undefined);
    const bytes = patternOf(12 * CAP);
    await kernel.perform(async () => {
      const { writer, lines } = makeWriterOn(node, await doors.files.openForUpdate('/data/open'));
      await writer.write(bytes, 0, 4 * CAP + 100);
      await writer.flush();
      node.disk.capacityBytes = node.disk.usedBytes;
      const until = (delayMs: number): Promise<void> =>
        new Promise((resolve) => void doors.clock.setTimer(delayMs, resolve));
      let isAccepted = false;
      const writing = writer.write(bytes, 4 * CAP + 100, bytes.length).then(() => {
        isAccepted = true;
      });
      for (let second = 0; second < 30; second++) {
        await until(1000);
        expect(isAccepted).toBe(false);
        const read = await readAll(writer);
        expect(read.length).toBeGreaterThanOrEqual(5 * CAP);
        expect(equal(read, bytes.subarray(0, read.length))).toBe(true);
      }
      expect(lines.length).toBeGreaterThan(10);
      node.disk.capacityBytes = Number.MAX_SAFE_INTEGER;
      await writing;
      expect(await writer.finish()).toBe(bytes.length);
      expect(equal(await readAll(writer), bytes)).toBe(true);
      expect(lines.filter(({ level }) => level === 'info')).toHaveLength(1);
    });
  });

  test('BW-18: the gate stays open until the write under way has returned, and none comes after', async () => {
    const { writer, file, gate, cancel } = makeWriter();
    const { promise, resolve } = Promise.withResolvers<void>();
    file.stall = promise;
    const bytes = patternOf(2 * CAP);
    await writer.write(bytes, 0, bytes.length);
    const flushing = failure(writer.flush());
    await expect.poll(() => file.underWay).toBe(1);
    cancel.abort();
    expect(await flushing).toMatchObject(CANCELLED);
    let isClosed = false;
    const closing = gate.close().then(() => {
      isClosed = true;
    });
    for (let turn = 0; turn < 10; turn++) await new Promise<void>((done) => setImmediate(done));
    expect([isClosed, gate.inside, file.underWay]).toEqual([false, 1, 1]);
    resolve();
    await closing;
    expect([file.underWay, file.attempts.length]).toEqual([0, 1]);
    for (let turn = 0; turn < 10; turn++) await new Promise<void>((done) => setImmediate(done));
    expect(file.attempts).toHaveLength(1);
    expect(equal(await readAll(writer), bytes)).toBe(true);
  });

  test('BW-18: a write that a cancelled writer was about to begin does not begin', async () => {
    const control = new HoldingControl('before 0');
    const { writer, file, gate, cancel } = makeWriter({ control });
    await writer.write(patternOf(CAP), 0, CAP);
    await control.reached('before 0');
    cancel.abort();
    control.release('before 0');
    await gate.close();
    expect(file.attempts).toEqual([]);
  });

  test('BW-18: a writer that is cancelled when nothing is under way leaves the gate at once', async () => {
    const { writer, gate, cancel } = makeWriter();
    await writer.write(patternOf(10), 0, 10);
    expect(gate.inside).toBe(1);
    cancel.abort();
    expect(gate.inside).toBe(0);
    expect(equal(await readAll(writer), patternOf(10))).toBe(true);
  });

  test('BW-19: five failures are five warnings, and then it is said that it succeeded', async () => {
    const { kernel, writer, file, lines } = makeWriter();
    let failures = 0;
    file.failure = () => (failures++ < 5 ? noSpace() : undefined);
    await kernel.perform(async () => {
      await writer.write(patternOf(CAP), 0, CAP);
      await writer.finish();
    });
    const common = { tenant: 'ten', timeline: 'tim', file: '/memory', position: 0 };
    expect(lines).toEqual([
      ...[1, 2, 3, 4, 5].map((attempt) =>
        expect.objectContaining({
          ...common,
          level: 'warn',
          message: 'a write to a layer file failed, and is retried',
          attempt,
          error: expect.stringContaining('ENOSPC'),
        }),
      ),
      expect.objectContaining({
        ...common,
        level: 'info',
        message: 'a write to a layer file succeeded after retries',
        attempt: 6,
      }),
    ]);
    const delays = lines.slice(0, 5).map(({ delayMs }) => delayMs as number);
    for (const [index, delayMs] of delays.entries()) {
      expect(delayMs).toBeGreaterThanOrEqual(5 * 2 ** index);
      expect(delayMs).toBeLessThanOrEqual(10 * 2 ** index);
    }
  });

  test('BW-19: after a success the next failure is retried soon', async () => {
    const { kernel, writer, file, lines } = makeWriter();
    let attempts = 0;
    file.failure = () => (++attempts % 7 === 0 ? undefined : noSpace());
    await kernel.perform(async () => {
      await writer.write(patternOf(2 * CAP), 0, 2 * CAP);
      await writer.finish();
    });
    const delays = lines.filter(({ level }) => level === 'warn').map(({ delayMs }) => delayMs as number);
    expect(delays).toHaveLength(12);
    expect(delays[5]).toBeGreaterThan(100);
    expect(delays[6]).toBeLessThanOrEqual(10);
  });

  test('BW-19: backing off ends at once when it is cancelled', async () => {
    const { kernel, writer, file, cancel, gate, lines, node } = makeWriter({ retryMs: [20_000, 20_000] });
    file.failure = noSpace;
    await kernel.perform(async () => {
      const { clock } = node.incarnation!.doors;
      const startMs = clock.monotonicMs();
      await writer.write(patternOf(CAP), 0, CAP);
      while (lines.length === 0) await clock.yieldToOthers();
      cancel.abort();
      await gate.close();
      // The back-off is at least ten seconds long.
      expect(clock.monotonicMs() - startMs).toBeLessThan(1000);
    });
    expect(file.attempts).toHaveLength(1);
  });
});
