import { test } from 'vitest';
import { expectSeedsHold } from './expect-seeds-hold.ts';

const TIMEOUT_MS = 300_000;

test(
  'sim: 2000 seeds hold (the first 1000, with three safekeepers)',
  () => expectSeedsHold(1, 1000, 3),
  TIMEOUT_MS,
);
