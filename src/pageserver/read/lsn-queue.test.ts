import { expect, test } from 'vitest';
import { nodeClock } from '../../io/node/clock.ts';
import { LsnQueue } from './lsn-queue.ts';

const never = new AbortController().signal;

test('waiters are woken in the order of their positions, and only those that are reached', async () => {
  const queue = new LsnQueue(nodeClock, 100);
  const woken: number[] = [];
  const waits = [300, 200, 250, 200, 400].map(async (lsn) => {
    await queue.wait(lsn, 60_000, never);
    woken.push(lsn);
  });
  await queue.wait(100, 0, never);
  queue.advance(250);
  await Promise.all([waits[1], waits[2], waits[3]]);
  expect(woken.toSorted()).toEqual([200, 200, 250]);
  expect(queue.waiting).toBe(2);
  queue.advance(1000);
  await Promise.all(waits);
  expect(queue.waiting).toBe(0);
});

test('a wait ends with a time limit, a cancellation or the end of the stream, and leaves nothing behind', async () => {
  const queue = new LsnQueue(nodeClock, 0);
  await expect(queue.wait(8, 1, never)).rejects.toMatchObject({ code: 'LSN_NOT_REACHED', place: { lsn: 8 } });
  const controller = new AbortController();
  const cancelled = queue.wait(8, 60_000, controller.signal);
  controller.abort();
  await expect(cancelled).rejects.toMatchObject({ kind: 'cancelled' });
  expect(queue.waiting).toBe(0);
  const stopped = queue.wait(8, 60_000, never);
  queue.fail(new Error('stopped'));
  await expect(stopped).rejects.toThrow('stopped');
  await expect(queue.wait(8, 60_000, never)).rejects.toThrow('stopped');
  queue.recover();
  queue.advance(8);
  await queue.wait(8, 0, never);
});
