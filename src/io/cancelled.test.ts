import { expect, test } from 'vitest';
import { untilCancelled } from './cancelled.ts';

test('a wait ends with the signal, and what was waited for goes on', async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const controller = new AbortController();
  const waiting = untilCancelled(controller.signal, promise);
  const patient = untilCancelled(new AbortController().signal, promise);
  controller.abort();
  await expect(waiting).rejects.toMatchObject({ kind: 'cancelled' });
  resolve('done');
  expect(await patient).toBe('done');
  await expect(untilCancelled(controller.signal, promise)).rejects.toMatchObject({ kind: 'cancelled' });
});

test('a failure comes through, also when nobody waits any more', async () => {
  const { promise, reject } = Promise.withResolvers<string>();
  const controller = new AbortController();
  const waiting = untilCancelled(controller.signal, promise);
  const patient = untilCancelled(new AbortController().signal, promise);
  controller.abort();
  await expect(waiting).rejects.toMatchObject({ kind: 'cancelled' });
  reject(new Error('broken'));
  await expect(patient).rejects.toThrow('broken');
});
