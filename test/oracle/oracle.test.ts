import { expect, test } from 'vitest';
import { formatStatistics } from './format-statistics.ts';
import { runOracle } from './oracle.ts';

test.each([
  { seconds: 8, fullPageWrites: true, seed: 1 },
  { seconds: 6, fullPageWrites: false, seed: 2 },
])(
  'what a stock server writes in $seconds s is replayed as it does itself (full_page_writes $fullPageWrites)',
  async (run) => {
    const wrong: string[] = [];
    const result = await runOracle({
      major: 17,
      ...run,
      onMismatch: ({ kind, message }) => wrong.push(`${kind}: ${message}`),
    });
    expect([...wrong, ...result.differences], formatStatistics(result)).toEqual([]);
    expect(result.mismatches).toBe(0);
    expect(result.pages).toBeGreaterThan(10_000);
    // Which kinds appear depends on the machine; each of the resource managers must.
    expect(result.rows.length).toBeGreaterThan(70);
  },
  180_000,
);
