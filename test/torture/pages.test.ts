import { expect, test } from 'vitest';
import { runPagesRound, SHUTDOWN_MS_MAX } from './pages-round.ts';

test('PS-06: pages are right, shutdowns quick and memory bounded while clients do not read, send garbage and leave', async () => {
  const actions = ['create', 'branch', 'grow', 'delete', 'detach and attach', 'detach ancestor'];
  const result = await runPagesRound({ seed: 7, durationMs: 5000, actions });
  expect(result).toMatchObject({ wrong: [], stuck: [] });
  expect(result.pages).toBeGreaterThan(200);
  expect(result.slowestShutdownMs).toBeLessThan(SHUTDOWN_MS_MAX);
  expect([...result.actions.keys()].toSorted()).toEqual(actions.toSorted());
}, 240_000);
