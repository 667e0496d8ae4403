import { afterAll, beforeAll, expect, test } from 'vitest';
import { formatLsn } from '../../src/base/lsn.ts';
import type { Branch, Endpoint } from '../../src/contracts/control-api.ts';
import { ControlWorld } from './control-world.ts';
import type { Moment } from './crash-door.ts';

/** More than any of these has. */
const EFFECTS_MAX = 200;
/** Of the effects every so many-th: with VARVE_EVERY_KILL=1 all of them, which takes ten minutes. */
const STRIDE = process.env['VARVE_EVERY_KILL'] === '1' ? 1 : 17;

const TIMEOUT_MS = STRIDE === 1 ? 600_000 : 120_000;

let world: ControlWorld;
let number = 0;

beforeAll(async () => {
  world = await ControlWorld.start();
  await ok('POST', 'projects', { name: 'killed' });
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

async function ok<Json>(method: string, path: string, body?: unknown): Promise<Json> {
  const { status, json } = await world.ask<Json>(method, path, body);
  if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(json)}`);
  return json;
}

interface Scenario {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  /** Of a first answer, or of one to the same request after the kill. */
  readonly statuses: readonly number[];
  /** What must be so after it has come to its end. */
  check(): Promise<void>;
}

/**
 * Kills the control plane at the first of its effects, then at a later one, and so on until it has none left; each time before and
 * after the effect. The next life goes on; the same request is sent again with its key; then everything must be whole.
 */
async function killEverywhere(prepare: () => Promise<Scenario>): Promise<number> {
  let kills = 0;
  for (const moment of ['before', 'after'] as const) {
    // Not the same ones for both.
    for (let effects = moment === 'before' ? 1 : Math.min(STRIDE, 3); ; effects += STRIDE) {
      expect(effects).toBeLessThan(EFFECTS_MAX);
      const scenario = await prepare();
      if (!(await killAt(scenario, effects, moment))) break;
      kills++;
    }
  }
  return kills;
}

/** @returns false: it has come to its end before. */
async function killAt(scenario: Scenario, effects: number, moment: Moment): Promise<boolean> {
  const { method, path, body, statuses } = scenario;
  const headers = { 'idempotency-key': `${path.replaceAll(/[^\x21-\x7e]/g, '')}-${number++}` };
  const { door } = world.life;
  door.crashAfter(effects, moment);
  // Its answer is lost, or it is that of a process that has ended.
  const answered = world.ask(method, path, body, headers).catch(() => undefined);
  await Promise.race([answered, door.died]);
  // What it has begun may go on after the answer.
  await world.settled();
  const wasKilled = door.isDead;
  door.spare();
  if (wasKilled) await world.restart();
  await answered;
  await world.settled();
  const again = await world.ask(method, path, body, headers);
  if (!statuses.includes(again.status)) {
    throw new Error(`killed ${moment} effect ${effects}: ${again.status} ${JSON.stringify(again.json)}`);
  }
  await world.settled();
  try {
    await scenario.check();
    await checkWhole();
  } catch (error) {
    throw new Error(`killed ${moment} effect ${effects}: ${(error as Error).message}`, { cause: error });
  }
  return wasKilled;
}

/** Nothing is half done: all is at rest, and storage has what the tables have, and nothing else. */
async function checkWhole(): Promise<void> {
  const moving = await world.rows(
    `SELECT 'branch' AS kind, id, state FROM varve_control.branches WHERE state <> 'ready'
     UNION ALL SELECT 'project', id, state FROM varve_control.projects WHERE state <> 'ready'
     UNION ALL SELECT 'endpoint', id, state FROM varve_control.endpoints
       WHERE state NOT IN ('active', 'suspended', 'stopped')
     UNION ALL SELECT 'timeline', timeline_id, 'not made' FROM varve_control.timelines WHERE start_lsn IS NULL
     UNION ALL SELECT 'timeline', timeline_id, 'nobody has it' FROM varve_control.timelines t
       WHERE NOT EXISTS (SELECT FROM varve_control.branches b WHERE b.timeline_id = t.timeline_id)
         AND NOT EXISTS (SELECT FROM varve_control.endpoints e WHERE e.timeline_id = t.timeline_id)`,
  );
  expect(moving).toEqual([]);
  const known = await world.rows<{ timeline_id: string; members: number }>(
    'SELECT timeline_id, cardinality(safekeeper_ids) AS members FROM varve_control.timelines ORDER BY 1',
  );
  const written = known.filter(({ members }) => members > 0).map(({ timeline_id }) => timeline_id);
  expect(await world.stored()).toEqual({
    pageserver: known.map(({ timeline_id }) => timeline_id),
    safekeepers: [written, written, written],
  });
  const active = await world.rows<{ id: string }>(
    "SELECT id FROM varve_control.endpoints WHERE state = 'active' ORDER BY id",
  );
  expect([...world.life.endpoints.running.keys()].sort()).toEqual(active.map(({ id }) => id));
  const suspended = await world.rows<{ id: string }>(
    "SELECT id FROM varve_control.endpoints WHERE state = 'suspended' ORDER BY id",
  );
  expect([...world.life.endpoints.listening.keys()].sort()).toEqual(suspended.map(({ id }) => id));
}

const BRANCHES = 'projects/killed/branches';
const listed = async (): Promise<Branch[]> => (await ok<{ branches: Branch[] }>('GET', BRANCHES)).branches;
const named = async (name: string): Promise<Branch | undefined> =>
  (await listed()).find((branch) => branch.name === name);

/** A branch of main with a compute that runs and is never suspended. */
async function makeBranch(name: string): Promise<{ branch: Branch; endpoint: Endpoint }> {
  const { branch } = await ok<{ branch: Branch }>('POST', BRANCHES, { name });
  const { endpoint } = await ok<{ endpoint: Endpoint }>('POST', `${BRANCHES}/${name}/endpoints`, {
    suspendAfterSeconds: 0,
  });
  return { branch, endpoint };
}

async function removeBranch(name: string): Promise<void> {
  if ((await named(name)) !== undefined) await ok('DELETE', `${BRANCHES}/${name}`);
}

test('killed at any effect, the creation of a project is there once', { timeout: TIMEOUT_MS }, async () => {
  const kills = await killEverywhere(async () => {
    const name = `made-${number++}`;
    return {
      method: 'POST',
      path: 'projects',
      body: { name },
      statuses: [201],
      check: async () => {
        expect(await ok('GET', `projects/${name}`)).toMatchObject({ state: 'ready' });
        await ok('DELETE', `projects/${name}`);
      },
    };
  });
  expect(kills).toBeGreaterThan(20 / STRIDE);
});

test('killed at any effect, a branch is there once, or goes altogether', {
  timeout: TIMEOUT_MS,
}, async () => {
  await killEverywhere(async () => {
    const name = `made-${number++}`;
    return {
      method: 'POST',
      path: BRANCHES,
      body: { name },
      statuses: [201],
      check: async () => {
        expect((await listed()).filter((branch) => branch.name === name)).toHaveLength(1);
        await removeBranch(name);
      },
    };
  });
  await killEverywhere(async () => {
    const name = `gone-${number++}`;
    await makeBranch(name);
    return {
      method: 'DELETE',
      path: `${BRANCHES}/${name}`,
      statuses: [200],
      check: async () => expect(await named(name)).toBeUndefined(),
    };
  });
});

test('killed at any effect, what cannot be made is undone', { timeout: TIMEOUT_MS }, async () => {
  await killEverywhere(async () => ({
    method: 'POST',
    path: BRANCHES,
    // Before the history.
    body: { name: `never-${number++}`, lsn: '0/1000' },
    statuses: [406],
    check: async () => expect((await listed()).map(({ name }) => name)).toEqual(['main']),
  }));
});

test('killed at any effect, a branch is reset', { timeout: TIMEOUT_MS }, async () => {
  await killEverywhere(async () => {
    const name = `reset-${number++}`;
    const { branch, endpoint } = await makeBranch(name);
    return {
      method: 'POST',
      path: `${BRANCHES}/${name}/reset`,
      body: {},
      statuses: [200],
      check: async () => {
        const now = await named(name);
        expect(now?.timelineId).not.toBe(branch.timelineId);
        expect(world.life.endpoints.running.get(endpoint.id)?.timelineId).toBe(now?.timelineId);
        await removeBranch(name);
      },
    };
  });
});

test('killed at any effect, a branch is restored, and what was on it is kept', {
  timeout: TIMEOUT_MS,
}, async () => {
  await killEverywhere(async () => {
    const name = `restored-${number++}`;
    const { branch, endpoint } = await makeBranch(name);
    return {
      method: 'POST',
      path: `${BRANCHES}/${name}/restore`,
      body: { lsn: formatLsn(lsnOf(branch)), keepAs: `${name}-kept` },
      statuses: [200],
      check: async () => {
        const now = await named(name);
        const kept = await named(`${name}-kept`);
        expect(kept?.timelineId).toBe(branch.timelineId);
        expect(now?.parentId).toBe(kept?.id);
        expect(world.life.endpoints.running.get(endpoint.id)?.timelineId).toBe(now?.timelineId);
        await removeBranch(name);
        await removeBranch(`${name}-kept`);
      },
    };
  });
});

test('killed at any effect, an endpoint of an LSN is made, suspended and removed', {
  timeout: TIMEOUT_MS,
}, async () => {
  const endpoints = `${BRANCHES}/main/endpoints`;
  const all = async (): Promise<Endpoint[]> =>
    (await ok<{ endpoints: Endpoint[] }>('GET', endpoints)).endpoints;
  const { branch } = await ok<{ branch: Branch }>('POST', BRANCHES, { name: 'where' });
  const body = { kind: 'read-only', lsn: formatLsn(lsnOf(branch)), suspendAfterSeconds: 0 };
  await killEverywhere(async () => ({
    method: 'POST',
    path: endpoints,
    body,
    statuses: [201],
    check: async () => {
      const [made, ...others] = await all();
      expect(others).toEqual([]);
      expect(made?.state).toBe('active');
      await ok('DELETE', `projects/killed/endpoints/${made?.id}`);
    },
  }));
  await killEverywhere(async () => {
    const { endpoint } = await ok<{ endpoint: Endpoint }>('POST', endpoints, body);
    return {
      method: 'POST',
      path: `projects/killed/endpoints/${endpoint.id}/suspend`,
      statuses: [200],
      check: async () => {
        expect((await all()).map(({ state }) => state)).toEqual(['suspended']);
        await ok('DELETE', `projects/killed/endpoints/${endpoint.id}`);
      },
    };
  });
  await killEverywhere(async () => {
    const { endpoint } = await ok<{ endpoint: Endpoint }>('POST', endpoints, body);
    return {
      method: 'DELETE',
      path: `projects/killed/endpoints/${endpoint.id}`,
      statuses: [200],
      check: async () => expect(await all()).toEqual([]),
    };
  });
});

/** The API writes it as text. */
function lsnOf({ ancestorLsn }: Branch): number {
  const [high = '', low = ''] = String(ancestorLsn).split('/');
  return Number.parseInt(high, 16) * 2 ** 32 + Number.parseInt(low, 16);
}
