import { expect, test } from 'vitest';
import { expectRefusal } from '../../test/conformance/world.ts';
import { Limiter, type Permit } from './limiter.ts';

const never = new AbortController().signal;

test('lets in so many at once, and the others in the order in which they came', async () => {
  const limiter = new Limiter(2);
  const order: number[] = [];
  const permits: Permit[] = [];
  const comers = [0, 1, 2, 3].map(async (number) => {
    permits.push(await limiter.acquire(never));
    order.push(number);
  });
  await Promise.all(comers.slice(0, 2));
  expect([limiter.inUse, limiter.waiting, order]).toEqual([2, 2, [0, 1]]);

  permits[0]?.release();
  permits[0]?.release();
  await comers[2];
  expect([limiter.inUse, limiter.waiting, order]).toEqual([2, 1, [0, 1, 2]]);

  permits[1]?.release();
  await comers[3];
  for (const permit of permits) permit.release();
  expect([limiter.inUse, limiter.waiting, order]).toEqual([0, 0, [0, 1, 2, 3]]);
});

test('who is cancelled while waiting takes no permit', async () => {
  const limiter = new Limiter(1);
  const permit = await limiter.acquire(never);
  const controller = new AbortController();
  const cancelled = limiter.acquire(controller.signal);
  const patient = limiter.acquire(never);
  controller.abort();
  await expectRefusal(cancelled, 'cancelled', 'CANCELLED');
  await expectRefusal(limiter.acquire(controller.signal), 'cancelled', 'CANCELLED');
  permit.release();
  (await patient).release();
  expect([limiter.inUse, limiter.waiting]).toEqual([0, 0]);
});

test('who is cancelled after the permit was handed over has it, and gives it back', async () => {
  const limiter = new Limiter(1);
  const permit = await limiter.acquire(never);
  const controller = new AbortController();
  const next = limiter.acquire(controller.signal);
  permit.release();
  controller.abort();
  (await next).release();
  expect([limiter.inUse, limiter.waiting]).toEqual([0, 0]);
});

test('gives the permit back when the action fails', async () => {
  const limiter = new Limiter(1);
  await expect(limiter.run(never, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  expect(await limiter.run(never, () => Promise.resolve(limiter.inUse))).toBe(1);
  expect(limiter.inUse).toBe(0);
});

test('a limit that lets nobody in is a bug', () => {
  for (const limit of [0, -1, 1.5, Number.NaN]) expect(() => new Limiter(limit)).toThrow('lets nobody in');
});
