import { expect, test } from 'vitest';
import { nodeClock } from './node/clock.ts';
import { pause, RetryDelay } from './retry-delay.ts';

const random = (fraction: number) => ({ fraction: () => fraction, bytes: () => new Uint8Array(0) });

test('delays double up to their bound, and begin anew after a success', () => {
  const longest = new RetryDelay({ minMs: 10, maxMs: 65 }, random(1));
  expect([1, 2, 3, 4, 5].map(() => longest.nextMs())).toEqual([10, 20, 40, 65, 65]);
  longest.reset();
  expect(longest.nextMs()).toBe(10);
  const shortest = new RetryDelay({ minMs: 10, maxMs: 65 }, random(0));
  expect([1, 2, 3, 4].map(() => shortest.nextMs())).toEqual([5, 10, 20, 32.5]);
});

test('a pause ends with its signal', async () => {
  const life = new AbortController();
  const pausing = pause(nodeClock, 3_600_000, life.signal);
  life.abort();
  await pausing;
  await pause(nodeClock, 3_600_000, life.signal);
  await pause(nodeClock, 1, new AbortController().signal);
  expect(life.signal.aborted).toBe(true);
});
