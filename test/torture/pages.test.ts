import { expect, test } from 'vitest';
import { runPagesRound, SHUTDOWN_MS_MAX } from './pages-round.ts';
import { ownMs } from './pages-usage.ts';

test('PS-06: pages are right, shutdowns quick and memory bounded while clients do not read, send garbage and leave', async () => {
  const actions = ['create', 'branch', 'grow', 'delete', 'detach and attach', 'detach ancestor', 'kill'];
  const result = await runPagesRound({ seed: 7, durationMs: 5000, actions });
  expect(result).toMatchObject({ wrong: [], stuck: [] });
  expect(result.pages).toBeGreaterThan(200);
  expect(ownMs(result.slowestShutdown)).toBeLessThan(SHUTDOWN_MS_MAX);
  expect([...result.actions.keys()]).toEqual(expect.arrayContaining(actions));
}, 240_000);
