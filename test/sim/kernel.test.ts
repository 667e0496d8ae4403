import { expect, test } from 'vitest';
import { Kernel } from './kernel.ts';
import { traceLabel } from './kernel-trace.ts';

const TEST = traceLabel('test');

test('events happen in the order of their times, and then in that of their planning', async () => {
  const kernel = new Kernel(1);
  const order: string[] = [];
  const plan = (delayUs: number, name: string): void => {
    kernel.after(undefined, delayUs, () => void order.push(`${name}@${kernel.nowUs}`));
  };
  plan(30, 'c');
  plan(10, 'a');
  plan(30, 'd');
  plan(20, 'b');
  expect(await kernel.run()).toBe('idle');
  expect(order).toEqual(['a@10', 'b@20', 'c@30', 'd@30']);
});

test('a heap with many events, of which most are cancelled, keeps the order', async () => {
  const kernel = new Kernel(5);
  const due: number[] = [];
  for (let index = 0; index < 20_000; index++) {
    const event = kernel.after(undefined, kernel.random.below(5000), () => void due.push(kernel.nowUs));
    if (index % 10 !== 0) event.action = undefined;
  }
  await kernel.run();
  expect(due).toHaveLength(2000);
  expect(due).toEqual(due.toSorted((left, right) => left - right));
});

test('whatever an event makes ready runs before the next event', async () => {
  const kernel = new Kernel(1);
  const order: string[] = [];
  const chain = async (): Promise<void> => {
    for (let turn = 0; turn < 100; turn++) await Promise.resolve();
    order.push('chain');
    await Promise.resolve();
    queueMicrotask(() => void order.push('microtask'));
  };
  kernel.after(undefined, 1, () => void chain());
  kernel.after(undefined, 1, () => void order.push('next'));
  await kernel.run();
  expect(order).toEqual(['chain', 'microtask', 'next']);
});

test('stops at a deadline, after some steps, or when it is told to', async () => {
  const kernel = new Kernel(1);
  let count = 0;
  const again = (): void => {
    count++;
    kernel.after(undefined, 1000, again);
  };
  again();
  expect(await kernel.run({ untilMs: 10 })).toBe('deadline');
  expect([count, kernel.nowUs]).toEqual([11, 10_000]);
  expect(await kernel.run({ maxSteps: 5 })).toBe('steps');
  expect(count).toBe(16);
  expect(await kernel.run({ until: () => count === 20 })).toBe('until');
  expect(kernel.nowUs).toBe(19_000);
});

test('an error in an event, and of a node that lives, ends the run', async () => {
  const kernel = new Kernel(1);
  kernel.after(undefined, 1, () => {
    throw new Error('in an event');
  });
  await expect(kernel.run()).rejects.toThrow('in an event');

  const other = new Kernel(1);
  other.addNode('a').start(async () => {
    throw new Error('in a node');
  });
  await expect(other.run()).rejects.toThrow('in a node');
});

test('the trace keeps the last entries, and a hash of all', () => {
  const kernel = new Kernel(1, { traceCapacity: 3 });
  kernel.addNode('a');
  for (let index = 0; index < 5; index++) kernel.note(index === 4 ? -1 : 0, TEST, index, index * 2);
  expect(kernel.traceLines()).toEqual(['0.000 a test 2 4', '0.000 a test 3 6', '0.000 - test 4 8']);
  const { hash } = kernel.trace;
  kernel.note(0, TEST);
  expect(kernel.trace.hash).not.toBe(hash);
});

test('one node has a name', () => {
  const kernel = new Kernel(1);
  kernel.addNode('a');
  expect(() => kernel.addNode('a')).toThrow('node a');
});

test('a wall clock jumps, and the monotonic one does not', async () => {
  const kernel = new Kernel(1);
  const node = kernel.addNode('a');
  const { clock } = node.start(() => undefined).doors;
  const [wallMs, monotonicMs] = [clock.wallMs(), clock.monotonicMs()];
  node.wallClock.jump(-3_600_000);
  expect([clock.wallMs(), clock.monotonicMs()]).toEqual([wallMs - 3_600_000, monotonicMs]);
});

test('the random door repeats itself for a seed only', () => {
  const draw = (seed: number): unknown[] => {
    const { random } = new Kernel(seed).addNode('a').start(() => undefined).doors;
    return [random.fraction(), [...random.bytes(16)]];
  };
  expect(draw(7)).toEqual(draw(7));
  expect(draw(7)).not.toEqual(draw(8));
});
