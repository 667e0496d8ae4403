import { expect, test } from 'vitest';
import { Turn } from './turn.ts';

test('one after another has the turn, in the order in which they came, until there are no more turns', async () => {
  const controller = new AbortController();
  const turn = new Turn(controller.signal);
  const order: number[] = [];
  await turn.take();
  const others = [1, 2, 3].map(async (number) => {
    await turn.take();
    order.push(number);
    turn.give();
  });
  expect(turn.isTaken).toBe(true);
  turn.give();
  await Promise.all(others);
  expect(order).toEqual([1, 2, 3]);
  await turn.take();
  const late = turn.take();
  controller.abort();
  await expect(late).rejects.toMatchObject({ kind: 'cancelled' });
  turn.give();
  await expect(turn.take()).rejects.toMatchObject({ kind: 'cancelled' });
});
