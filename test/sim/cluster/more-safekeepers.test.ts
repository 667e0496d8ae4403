import { test } from 'vitest';
import { expectSeedsHold } from './expect-seeds-hold.ts';

const TIMEOUT_MS = 300_000;

test(
  'sim: 2000 seeds hold (700 more, with three safekeepers)',
  () => expectSeedsHold(1001, 700, 3),
  TIMEOUT_MS,
);

test('sim: 2000 seeds hold (300 more, with five safekeepers)', () => expectSeedsHold(1, 300, 5), TIMEOUT_MS);
