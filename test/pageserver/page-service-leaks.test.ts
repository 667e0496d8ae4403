import { test } from 'vitest';
import { leavesNothing } from '../page-service/leak-scenario.ts';

test('PS-12: after 1000 connects to 100 timelines nothing is left of either', {
  timeout: 120_000,
}, async () => {
  await leavesNothing();
});
