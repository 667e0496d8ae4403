import { readFile } from 'node:fs/promises';
import { exportPKCS8, exportSPKI, generateKeyPair } from 'jose';
import { beforeAll, expect, test } from 'vitest';
import { VarveError } from '../../base/errors.ts';
import { parseTenantId, parseTimelineId } from '../../base/ids.ts';
import { parseLsn } from '../../base/lsn.ts';
import type { MembershipConfiguration } from '../../contracts/membership.ts';
import type { TimelineKey, TimelineStatus } from '../../contracts/safekeeper-api.ts';
import type { ControlFile, DebugDump } from '../../contracts/safekeeper-api-debug.ts';
import { SCOPES, type TokenClaims } from '../../contracts/token.ts';
import { HttpApp } from '../../http/app.ts';
import { SafekeeperClient } from '../../http/safekeeper-client.ts';
import { parseVerificationKeys } from '../../http/token-keys.ts';
import { TokenSigner } from '../../http/token-signer.ts';
import { TokenVerifier } from '../../http/token-verifier.ts';
import { nodeClock } from '../../io/node/clock.ts';
import { nodeHttp } from '../../io/node/http.ts';
import { nodeRandom } from '../../io/node/random.ts';
import { silentLogger } from '../../observe/log.ts';
import { Metrics } from '../../observe/metrics.ts';
import type { SafekeeperAdministration } from './administration.ts';
import { addSafekeeperRoutes } from './routes.ts';

const tenantId = parseTenantId('11'.repeat(16));
const otherTenantId = parseTenantId('22'.repeat(16));
const timelineId = parseTimelineId('33'.repeat(16));
const otherTimelineId = parseTimelineId('44'.repeat(16));
const key: TimelineKey = { tenant_id: tenantId, timeline_id: timelineId };
const lsn = parseLsn('1/6B5A50');

const membership: MembershipConfiguration = {
  generation: 3,
  members: [{ id: 1, host: 'one', pgPort: 5454 }],
  newMembers: [{ id: 2, host: 'two', pgPort: 5455 }],
};
const membershipJson = {
  generation: 3,
  members: [{ id: 1, host: 'one', pg_port: 5454 }],
  new_members: [{ id: 2, host: 'two', pg_port: 5455 }],
};

const positions = {
  timeline_start_lsn: lsn,
  local_start_lsn: lsn,
  commit_lsn: lsn,
  backup_lsn: lsn,
  peer_horizon_lsn: lsn,
  remote_consistent_lsn: lsn,
};
const server = { pg_version: 170_011, system_id: 7_300_000_000_000_000_001n, wal_seg_size: 16_777_216 };
const sender = { ttid: key, addr: '127.0.0.1:9', conn_id: 5, appname: 'pageserver' };

const status: TimelineStatus = {
  ...key,
  ...positions,
  mconf: membership,
  acceptor_state: { term: 5, epoch: 4, term_history: [{ term: 4, lsn }] },
  pg_info: server,
  flush_lsn: lsn,
  peers: [],
  walsenders: [
    {
      Vanilla: {
        ...sender,
        feedback: {
          Pageserver: {
            currentTimelineSizeBytes: 9,
            lastReceivedLsn: lsn,
            diskConsistentLsn: lsn,
            remoteConsistentLsn: lsn,
            replyTime: 800_000_000_000_000n,
            shardNumber: 0,
            corruptionDetected: false,
          },
        },
      },
    },
  ],
  walreceivers: [{ conn_id: null, status: 'Streaming' }],
};

const controlFile: ControlFile = {
  ...key,
  ...positions,
  mconf: membership,
  acceptor_state: { term: 5 },
  server,
  partial_backup: { segments: [] },
  eviction_state: { Offloaded: lsn },
  creation_ts: 1_700_000_000_000,
};

const dump: DebugDump = {
  start_time: 1_700_000_000_000,
  finish_time: 1_700_000_000_001,
  timelines: [{ ...key, control_file: controlFile }],
  timelines_count: 1,
  config: {
    id: 7,
    workdir: '/data',
    listen_pg_addr: '127.0.0.1:5454',
    listen_http_addr: '127.0.0.1:7676',
    no_sync: false,
    max_offloader_lag_bytes: 134_217_728,
    wal_backup_enabled: true,
  },
};

/** What the routes have asked for, in order: the name of the method, and its arguments. */
const calls: [string, ...unknown[]][] = [];

/** An administration that answers always the same, and keeps what it was asked. */
function answering<Result>(name: string, result: Result): (...args: unknown[]) => Promise<Result> {
  return async (...args) => {
    calls.push([name, ...args.filter((argument) => !(argument instanceof AbortSignal))]);
    return result;
  };
}

async function* pieces(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array([1, 2]);
  yield new Uint8Array([3]);
}

const administration: SafekeeperAdministration = {
  status: () => ({ id: 7 }),
  utilization: answering('utilization', { timeline_count: 1 }),
  filesystemUsage: answering('filesystemUsage', { data_dir: '/data', capacity_bytes: 9, usage_bytes: 5 }),
  createTimeline: answering('createTimeline', undefined),
  listTimelines: answering('listTimelines', [key]),
  timelineStatus: async (asked) => {
    if (asked.timeline_id === timelineId) return status;
    throw new VarveError('not-found', 'TIMELINE_NOT_FOUND', `timeline ${asked.timeline_id} not found`);
  },
  deleteTimeline: answering('deleteTimeline', { dir_existed: true }),
  deleteTenant: answering('deleteTenant', { [timelineId]: { dir_existed: true } }),
  pullTimeline: answering('pullTimeline', { safekeeper_host: 'http://two:7676/' }),
  snapshot: async (asked, destinationId) => {
    calls.push(['snapshot', asked, destinationId]);
    return pieces();
  },
  setMembership: answering('setMembership', {
    previous_conf: membership,
    current_conf: membership,
    last_log_term: 4,
    flush_lsn: lsn,
  }),
  excludeTimeline: answering('excludeTimeline', { dir_existed: false }),
  copyTimeline: answering('copyTimeline', undefined),
  patchControlFile: answering('patchControlFile', {
    old_control_file: controlFile,
    new_control_file: controlFile,
  }),
  checkpoint: answering('checkpoint', undefined),
  digest: answering('digest', { sha256: 'ab'.repeat(32) }),
  resetPartialBackup: answering('resetPartialBackup', ['a_partial']),
  bumpTerm: answering('bumpTerm', { previous_term: 4, current_term: 5 }),
  recordSafekeeperInfo: answering('recordSafekeeperInfo', undefined),
  debugDump: answering('debugDump', dump),
};

function makeApp(verifier: TokenVerifier | undefined): HttpApp {
  const app = new HttpApp({
    title: 'Varve safekeeper',
    version: '0.0.0',
    gate: 'safekeeper',
    verifier,
    logger: silentLogger,
    metrics: new Metrics(nodeClock),
    clock: nodeClock,
    random: nodeRandom,
  });
  addSafekeeperRoutes(app, administration);
  return app;
}

const openApp = makeApp(undefined);
let guardedApp: HttpApp;
let signer: TokenSigner;

beforeAll(async () => {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true });
  signer = await TokenSigner.fromPem(await exportPKCS8(privateKey));
  const keys = await parseVerificationKeys(await exportSPKI(publicKey));
  guardedApp = makeApp(new TokenVerifier(keys, nodeClock));
});

function request(app: HttpApp, method: string, path: string, body?: unknown, token?: string) {
  const headers = new Headers();
  if (body !== undefined) headers.set('content-type', 'application/json');
  if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
  const given = new Request(`http://test${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return app.handler(given, 'test');
}

const LSN = '1/6B5A50';
const TIMELINE = `/v1/tenant/${tenantId}/timeline/${timelineId}`;
const info = {
  flush_lsn: LSN,
  commit_lsn: LSN,
  backup_lsn: LSN,
  remote_consistent_lsn: LSN,
  peer_horizon_lsn: LSN,
  local_start_lsn: LSN,
};
const create = { ...key, mconf: membershipJson, pg_version: 170_011, start_lsn: LSN };

/** Every endpoint with a good request; last, whether a token of the tenant opens it ("open": none is needed). */
const ENDPOINTS: readonly [string, string, unknown, 'open' | 'tenant' | 'service'][] = [
  ['GET', '/metrics', undefined, 'open'],
  ['GET', '/openapi.json', undefined, 'open'],
  ['GET', '/v1/status', undefined, 'open'],
  ['GET', '/v1/utilization', undefined, 'service'],
  ['GET', '/v1/debug/filesystem_usage', undefined, 'service'],
  ['POST', '/v1/tenant/timeline', create, 'tenant'],
  ['GET', '/v1/tenant/timeline', undefined, 'service'],
  ['DELETE', `/v1/tenant/${tenantId}`, undefined, 'tenant'],
  ['GET', TIMELINE, undefined, 'tenant'],
  ['DELETE', TIMELINE, undefined, 'tenant'],
  ['POST', '/v1/pull_timeline', { ...key, http_hosts: ['http://two:7676'] }, 'service'],
  ['GET', `${TIMELINE}/snapshot/2`, undefined, 'service'],
  ['PUT', `${TIMELINE}/membership`, { mconf: membershipJson }, 'tenant'],
  ['PUT', `${TIMELINE}/exclude`, { mconf: membershipJson }, 'tenant'],
  ['POST', `${TIMELINE}/copy`, { target_timeline_id: otherTimelineId, until_lsn: LSN }, 'service'],
  ['GET', `${TIMELINE}/digest?from_lsn=0/0&until_lsn=${LSN}`, undefined, 'tenant'],
  ['POST', `${TIMELINE}/term_bump`, undefined, 'tenant'],
  ['POST', `/v1/record_safekeeper_info/${tenantId}/${timelineId}`, info, 'tenant'],
  ['PATCH', `${TIMELINE}/control_file`, { updates: {}, apply_fields: [] }, 'service'],
  ['POST', `${TIMELINE}/checkpoint`, undefined, 'service'],
  ['POST', `${TIMELINE}/backup_partial_reset`, undefined, 'service'],
  ['GET', '/v1/debug_dump', undefined, 'service'],
];

const CLAIMS: readonly TokenClaims[] = [
  ...SCOPES.map((scope) => ({ scope, tenantId })),
  { scope: 'tenant', tenantId: otherTenantId },
  { scope: 'tenant' },
];

test.each(ENDPOINTS)('%s %s answers, and opens to the scopes that it should', async (...endpoint) => {
  const [method, path, body, access] = endpoint;
  expect((await request(openApp, method, path, body)).status).toBe(200);

  const withoutToken = await request(guardedApp, method, path, body);
  expect(withoutToken.status).toBe(access === 'open' ? 200 : 401);
  for (const claims of CLAIMS) {
    const isOpen =
      access === 'open' ||
      claims.scope === 'safekeeperdata' ||
      (access === 'tenant' && claims.scope === 'tenant' && claims.tenantId === tenantId);
    const before = calls.length;
    const response = await request(guardedApp, method, path, body, await signer.sign(claims));
    expect([claims.scope, response.status]).toEqual([claims.scope, isOpen ? 200 : 403]);
    await response.arrayBuffer();
    if (!isOpen) expect(calls.length).toBe(before);
  }
});

test('a token that names a timeline opens nothing of another, nor of the tenant', async () => {
  const token = await signer.sign({ scope: 'tenant', tenantId, timelineId: otherTimelineId });
  expect((await request(guardedApp, 'GET', TIMELINE, undefined, token)).status).toBe(403);
  expect((await request(guardedApp, 'DELETE', `/v1/tenant/${tenantId}`, undefined, token)).status).toBe(403);
});

test.each(['', 'Basic abc', 'Bearer', 'Bearer a.b.c', 'Bearer a b'])(
  'the authorization "%s" is refused',
  async (authorization) => {
    const given = new Request(`http://test${TIMELINE}`, { headers: { authorization } });
    const response = await guardedApp.handler(given, 'test');
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ msg: 'Forbidden: JWT authentication error' });
  },
);

test('the description names exactly the routes, and the table above all of them', async () => {
  const response = await request(openApp, 'GET', '/openapi.json');
  const document = (await response.json()) as {
    openapi: string;
    paths: Record<string, Record<string, { security?: unknown }>>;
  };
  expect(document.openapi).toBe('3.1.0');
  const described = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { security }]) => [method, path, security === undefined].join(' ')),
  );
  const routed = openApp.routes.map(({ method, path, access }) =>
    [method, path, access === 'open'].join(' '),
  );
  expect(described.sort()).toEqual([...routed].sort());
  const isOfRoute = (method: string, path: string) => {
    const pattern = new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`);
    return ENDPOINTS.some(
      ([tried, url]) => tried.toLowerCase() === method && pattern.test(url.replace(/\?.*/, '')),
    );
  };
  expect(routed).toHaveLength(ENDPOINTS.length);
  for (const { method, path } of openApp.routes)
    expect([path, isOfRoute(method, path)]).toEqual([path, true]);
});

test('the page for users lists the same routes, with the same tokens', async () => {
  const page = await readFile(new URL('../../../docs/safekeeper-http.md', import.meta.url), 'utf8');
  const rows = [...page.matchAll(/^\| `(GET|POST|PUT|PATCH|DELETE) ([^`]+)` \| (\S+) \|/gm)];
  const TOKENS = { '–': 'open', '`tenant`': 'tenant', '`safekeeperdata`': 'service' } as const;
  const written = rows.map(([, method, path, token]) => {
    const pattern = (path as string).replace(/\?.*/, '').replace('TL', '/v1/tenant/{t}/timeline/{l}');
    return [method, pattern.replaceAll(/\{\w+\}/g, 'ID'), TOKENS[token as keyof typeof TOKENS]].join(' ');
  });
  const tried = ENDPOINTS.map(([method, path, , access]) =>
    [method, path.replace(/\?.*/, '').replaceAll(/[0-9a-f]{32}|(?<=snapshot\/)\d+/g, 'ID'), access].join(' '),
  );
  expect(written.sort()).toEqual(tried.sort());
});

test('a status has the fields and forms of the wire', async () => {
  const text = await (await request(openApp, 'GET', TIMELINE)).text();
  expect(text).toContain('"system_id":7300000000000000001');
  expect(JSON.parse(text)).toMatchObject({
    tenant_id: tenantId,
    mconf: membershipJson,
    acceptor_state: { term: 5, epoch: 4, term_history: [{ term: 4, lsn: LSN }] },
    flush_lsn: LSN,
    walsenders: [{ Vanilla: { feedback: { Pageserver: { replytime: '2025-05-08T06:13:20.000Z' } } } }],
    walreceivers: [{ conn_id: null, status: 'Streaming' }],
  });
});

test('nothing to say is null', async () => {
  expect(await (await request(openApp, 'POST', '/v1/tenant/timeline', create)).text()).toBe('null');
});

test('a timeline is created with the defaults of the API', async () => {
  calls.length = 0;
  await request(openApp, 'POST', '/v1/tenant/timeline', create);
  const expected = { ...key, mconf: membership, pg_version: 170_011, start_lsn: lsn, commit_lsn: lsn };
  expect(calls).toEqual([['createTimeline', { ...expected, system_id: 0n, wal_seg_size: 16_777_216 }]]);
});

test('a patch carries the fields that are to be applied, and no other', async () => {
  calls.length = 0;
  const updates = { commit_lsn: '0/10', backup_lsn: '0/20', eviction_state: 'Present' };
  const path = `${TIMELINE}/control_file`;
  await request(openApp, 'PATCH', path, { updates, apply_fields: ['backup_lsn'] });
  expect(calls).toEqual([['patchControlFile', key, { backup_lsn: 0x20 }]]);
});

test('a dump shows term histories unless told otherwise, and what is asked for', async () => {
  calls.length = 0;
  await request(openApp, 'GET', '/v1/debug_dump?dump_all=true&dump_memory=false&dump_term_history=false');
  await request(openApp, 'GET', `/v1/debug_dump?tenant_id=${tenantId}`);
  const nothing = { controlFile: false, memory: false, diskContent: false, walLastModified: false };
  expect(calls).toEqual([
    [
      'debugDump',
      { controlFile: true, memory: false, diskContent: true, termHistory: false, walLastModified: true },
    ],
    ['debugDump', { ...nothing, termHistory: true, tenantId }],
  ]);
});

test.each<[string, string, string, unknown, RegExp]>([
  ['a bad tenant', 'GET', `/v1/tenant/xyz/timeline/${timelineId}`, undefined, /path.*tenant_id/],
  ['a bad LSN', 'GET', `${TIMELINE}/digest?from_lsn=x&until_lsn=0/0`, undefined, /query.*from_lsn/],
  ['a missing LSN', 'GET', `${TIMELINE}/digest?from_lsn=0/0`, undefined, /query.*until_lsn/],
  ['an unknown key', 'GET', '/v1/debug_dump?dump_everything=true', undefined, /query.*dump_everything/],
  ['a bad flag', 'DELETE', `${TIMELINE}?only_local=yes`, undefined, /query.*only_local/],
  ['a body', 'DELETE', TIMELINE, {}, /unexpected request body/],
  ['an unknown field', 'POST', '/v1/tenant/timeline', { ...create, x: 1 }, /body.*x/],
  ['an odd segment size', 'POST', '/v1/tenant/timeline', { ...create, wal_seg_size: 16_777_217 }, /wal_seg/],
  ['a large system id', 'POST', '/v1/tenant/timeline', { ...create, system_id: 1e30 }, /system_id/],
  ['no members', 'PUT', `${TIMELINE}/membership`, { mconf: { generation: 1, members: [] } }, /no members/],
  ['a file as host', 'POST', '/v1/pull_timeline', { ...key, http_hosts: ['file:///etc'] }, /http_hosts/],
  ['a negative term', 'POST', `${TIMELINE}/term_bump`, { term: -1 }, /term/],
  [
    'a term to be patched',
    'PATCH',
    `${TIMELINE}/control_file`,
    { updates: {}, apply_fields: ['term'] },
    /apply/,
  ],
  [
    'a missing update',
    'PATCH',
    `${TIMELINE}/control_file`,
    { updates: {}, apply_fields: ['commit_lsn'] },
    /has no/,
  ],
  ['a destination', 'GET', `${TIMELINE}/snapshot/x`, undefined, /destination_id/],
])('%s is refused by name', async (_, method, path, body, msg) => {
  const response = await request(openApp, method, path, body);
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ msg: expect.stringMatching(msg) });
});

test('the client asks for what the routes understand, and decodes what they answer', async () => {
  const http = {
    serve: () => Promise.reject(new Error('not served')),
    request: (given: Request) => guardedApp.handler(given, 'test'),
  };
  const client = new SafekeeperClient({
    http,
    clock: nodeClock,
    baseUrl: 'http://safekeeper:7676',
    token: () => signer.sign({ scope: 'safekeeperdata' }),
  });
  const { signal } = new AbortController();
  calls.length = 0;
  expect(await client.status(signal)).toEqual({ id: 7 });
  expect(await client.listTimelines(signal)).toEqual([key]);
  expect(await client.timelineStatus(key, signal)).toEqual(status);
  await client.createTimeline(
    { ...key, mconf: membership, pg_version: 170_011, system_id: server.system_id, start_lsn: lsn },
    signal,
  );
  expect(await client.deleteTimeline(key, { isLocalOnly: true }, signal)).toEqual({ dir_existed: true });
  expect(await client.deleteTenant(tenantId, {}, signal)).toEqual({ [timelineId]: { dir_existed: true } });
  const pull = { ...key, http_hosts: ['http://two:7676'], mconf: membership };
  expect(await client.pullTimeline(pull, signal)).toEqual({ safekeeper_host: 'http://two:7676/' });
  expect((await client.setMembership(key, membership, signal)).current_conf).toEqual(membership);
  expect(await client.excludeTimeline(key, membership, signal)).toEqual({ dir_existed: false });
  const range = { from_lsn: parseLsn('0/10'), until_lsn: lsn };
  expect(await client.digest(key, range, signal)).toEqual({ sha256: 'ab'.repeat(32) });
  expect(await client.bumpTerm(key, undefined, signal)).toEqual({ previous_term: 4, current_term: 5 });
  expect(await client.bumpTerm(key, 9, signal)).toEqual({ previous_term: 4, current_term: 5 });
  const received: number[] = [];
  for await (const chunk of await client.snapshot(key, 2, signal)) received.push(...chunk);
  expect(received).toEqual([1, 2, 3]);
  await expect(client.timelineStatus({ ...key, timeline_id: otherTimelineId }, signal)).rejects.toMatchObject(
    {
      kind: 'not-found',
      code: 'TIMELINE_NOT_FOUND',
      reason: `timeline ${otherTimelineId} not found`,
    },
  );
  expect(calls).toEqual([
    ['listTimelines'],
    [
      'createTimeline',
      {
        ...key,
        mconf: membership,
        pg_version: 170_011,
        system_id: server.system_id,
        wal_seg_size: 16_777_216,
        start_lsn: lsn,
        commit_lsn: lsn,
      },
    ],
    ['deleteTimeline', key, { isLocalOnly: true }],
    ['deleteTenant', tenantId, { isLocalOnly: false }],
    ['pullTimeline', pull],
    ['setMembership', key, membership],
    ['excludeTimeline', key, membership],
    ['digest', key, range],
    ['bumpTerm', key, undefined],
    ['bumpTerm', key, 9],
    ['snapshot', key, 2],
  ]);
});

test('client and routes understand each other over a real connection, with a stream and its end', async () => {
  const reports: unknown[] = [];
  const http = nodeHttp((error) => void reports.push(error));
  await using listener = await http.serve({ host: '127.0.0.1', port: 0, handler: guardedApp.handler });
  const { port } = listener.address as { port: number };
  const client = new SafekeeperClient({
    http,
    clock: nodeClock,
    baseUrl: `http://127.0.0.1:${port}`,
    token: () => signer.sign({ scope: 'safekeeperdata' }),
  });
  const { signal } = new AbortController();
  expect(await client.timelineStatus(key, signal)).toEqual(status);
  expect((await client.setMembership(key, membership, signal)).last_log_term).toBe(4);
  const received: number[] = [];
  for await (const chunk of await client.snapshot(key, 2, signal)) received.push(...chunk);
  expect(received).toEqual([1, 2, 3]);
  const stranger = new SafekeeperClient({ http, clock: nodeClock, baseUrl: `http://127.0.0.1:${port}` });
  await expect(stranger.listTimelines(signal)).rejects.toMatchObject({
    kind: 'precondition',
    code: 'TOKEN_MISSING',
  });
  expect(reports).toEqual([]);
});
