import { expect, test } from 'vitest';
import type { Clock } from '../io/clock.ts';
import { nodeClock } from '../io/node/clock.ts';
import { Metrics } from './metrics.ts';

const linesOf = async (metrics: Metrics): Promise<string[]> =>
  (await metrics.expose()).split('\n').filter((line) => line !== '');

test('cells are written with help, type, labels and value', async () => {
  const metrics = new Metrics(nodeClock);
  metrics.counter('a_total', 'As').add(3);
  const gauge = metrics.gauge('b', 'Bs');
  gauge.add(5);
  gauge.subtract(2);
  const queries = metrics.counters('c_total', 'Cs', ['query', 'dir']);
  queries.of('a"b', 'in').increment();
  queries.of('a"b', 'in').increment();
  queries.of('x', 'out').increment();
  expect(await linesOf(metrics)).toEqual([
    '# HELP a_total As',
    '# TYPE a_total counter',
    'a_total 3',
    '# HELP b Bs',
    '# TYPE b gauge',
    'b 3',
    '# HELP c_total Cs',
    '# TYPE c_total counter',
    'c_total{query="a\\"b",dir="in"} 2',
    'c_total{query="x",dir="out"} 1',
  ]);
});

test('a histogram counts what is at or below each bound', async () => {
  const metrics = new Metrics(nodeClock);
  const histogram = metrics.histogram('h', 'H', [1, 10]);
  for (const value of [0, 1, 1.5, 10, 11]) histogram.observe(value);
  expect((await linesOf(metrics)).slice(2)).toEqual([
    'h_bucket{le="1"} 2',
    'h_bucket{le="10"} 4',
    'h_bucket{le="+Inf"} 5',
    'h_sum 23.5',
    'h_count 5',
  ]);
});

test('a histogram by label has all series of each', async () => {
  const metrics = new Metrics(nodeClock);
  metrics.histograms('h', 'H', ['operation'], [1]).of('sync').observe(2);
  expect((await linesOf(metrics)).slice(2)).toEqual([
    'h_bucket{operation="sync",le="1"} 0',
    'h_bucket{operation="sync",le="+Inf"} 1',
    'h_sum{operation="sync"} 2',
    'h_count{operation="sync"} 1',
  ]);
});

test('one name cannot be taken twice, and two services do not share', () => {
  const metrics = new Metrics(nodeClock);
  metrics.counter('a_total', 'As');
  expect(() => metrics.gauge('a_total', 'As')).toThrow(/already been registered/);
  expect(() => new Metrics(nodeClock).counter('a_total', 'As')).not.toThrow();
});

test('series of many follow the things that there are, and others run while they are written', async () => {
  let turns = 0;
  const clock: Clock = { ...nodeClock, yieldToOthers: async () => void turns++ };
  const metrics = new Metrics(clock);
  const things = new Set(Array.from({ length: 2500 }, (_, id) => id));
  metrics.ofMany({
    things: () => things,
    labelsOf: (id) => `id="${id}"`,
    metrics: [
      { name: 'm', help: 'M', type: 'gauge', read: (id) => id * 2 },
      { name: 'n_total', help: 'N', type: 'counter', read: () => 1 },
    ],
  });
  const lines = await linesOf(metrics);
  expect(lines).toHaveLength(2 * (2 + 2500));
  expect(lines[9]).toBe('m{id="7"} 14');
  expect(turns).toBe(4);
  things.clear();
  expect(await linesOf(metrics)).toEqual([
    '# HELP m M',
    '# TYPE m gauge',
    '# HELP n_total N',
    '# TYPE n_total counter',
  ]);
});
