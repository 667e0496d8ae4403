import { expect, test } from 'vitest';
import { formatBranch, measureBranch } from './branch.ts';
import { shapesOf } from './start.ts';

test('a quick run makes branches with and without a server, and wakes servers', {
  timeout: 300_000,
}, async () => {
  const parts: string[] = [];
  const rows = await measureBranch({ shapes: shapesOf(1 / 256, []), repeats: 1 }, (text) => {
    parts.push(text);
  });
  expect(parts).toEqual([
    'branch: making 10 MB',
    'branch: measuring 10 MB',
    'branch: making 4 MB, filled',
    'branch: measuring 4 MB, filled',
  ]);
  for (const name of ['10 MB', '4 MB, filled']) {
    const timeOf = (what: string): number => rows.find((row) => row.name === `${name}: ${what}`)?.p50Ms ?? 0;
    const session = timeOf('a session on a server that runs');
    expect(session).toBeGreaterThan(0);
    expect(timeOf('branch')).toBeGreaterThan(0);
    expect(timeOf('branch, server, first query')).toBeGreaterThan(timeOf('branch'));
    expect(timeOf('wake of a suspended server')).toBeGreaterThan(session);
  }
  expect(formatBranch(rows)).toContain('10 MB: branch, server, first query');
});
