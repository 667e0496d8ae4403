import { expect, test } from 'vitest';
import type { Clock } from '../io/clock.ts';
import { nodeClock } from '../io/node/clock.ts';
import { boundedChunks } from './bounded-body.ts';

/** A clock whose timers go off when the test says. */
class HeldClock implements Clock {
  readonly callbacks = new Set<() => void>();
  monotonicMs = () => nodeClock.monotonicMs();
  wallMs = () => nodeClock.wallMs();
  yieldToOthers = () => nodeClock.yieldToOthers();

  setTimer(_delayMs: number, callback: () => void) {
    this.callbacks.add(callback);
    return { cancel: () => void this.callbacks.delete(callback) };
  }
}

test('a body of which nothing comes any more is given up, and let go of', async () => {
  const clock = new HeldClock();
  let isCancelled = false;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new Uint8Array([1])),
    cancel: () => {
      isCancelled = true;
    },
  });
  const chunks = boundedChunks(body, { clock, bytesMax: 10, stallMs: 1000 });
  expect((await chunks.next()).value).toEqual(new Uint8Array([1]));
  // While nobody asks for more, nobody can be late.
  expect(clock.callbacks.size).toBe(0);
  const next = chunks.next();
  await expect.poll(() => clock.callbacks.size).toBe(1);
  for (const callback of clock.callbacks) callback();
  await expect(next).rejects.toMatchObject({ kind: 'unavailable', code: 'BODY_STALLED' });
  expect(isCancelled).toBe(true);
});

test('who leaves early cancels the rest', async () => {
  let isCancelled = false;
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new Uint8Array(1)),
    cancel: () => {
      isCancelled = true;
    },
  });
  for await (const _ of boundedChunks(body, { clock: nodeClock, bytesMax: 10, stallMs: 1000 })) break;
  expect(isCancelled).toBe(true);
});
