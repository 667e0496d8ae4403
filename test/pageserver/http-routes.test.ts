import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseTenantId, parseTimelineId } from '../../src/base/ids.ts';
import { toLsn } from '../../src/base/lsn.ts';
import { SCOPES, type TokenClaims } from '../../src/contracts/token.ts';
import { PageserverClient } from '../../src/http/pageserver-client.ts';
import type { TokenSigner } from '../../src/http/token-signer.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { VICTIM } from './bad-input-world.ts';
import { endpointsOf } from './http-endpoints.ts';
import { CountedExtensions, HttpWorld, makeTokens } from './http-world.ts';

const OTHER_TENANT = parseTenantId('f'.repeat(32));
const OTHER_TIMELINE = parseTimelineId('8'.repeat(32));
const extensions = new CountedExtensions();
let open: HttpWorld;
let guarded: HttpWorld;
let signer: TokenSigner;

beforeAll(async () => {
  const tokens = await makeTokens();
  signer = tokens.signer;
  open = await HttpWorld.open({ extensions });
  guarded = await HttpWorld.open({ extensions, verifier: tokens.verifier });
});

afterAll(async () => {
  await open[Symbol.asyncDispose]();
  await guarded[Symbol.asyncDispose]();
});

const CLAIMS: readonly TokenClaims[] = [
  ...SCOPES.map((scope) => ({ scope, tenantId: parseTenantId('1'.repeat(32)) })),
  { scope: 'tenant', tenantId: OTHER_TENANT },
  { scope: 'tenant' },
];

test('every endpoint opens to the scopes that it should, and to no others', { timeout: 60_000 }, async () => {
  const { tenantId } = guarded.made.world;
  for (const { method, path, body, access } of endpointsOf(tenantId)) {
    // Taking a profile takes its time: that the right token opens it, the table of statuses shows.
    const isSlow = path.startsWith('/profile/');
    if (access !== 'open') {
      expect([path, (await guarded.ask(method, path, body)).status]).toEqual([path, 401]);
    }
    for (const claims of CLAIMS) {
      const isOpen =
        access === 'open' ||
        claims.scope === 'pageserverapi' ||
        (access === 'tenant' && claims.scope === 'tenant' && claims.tenantId === tenantId);
      if (isOpen && (isSlow || method === 'DELETE')) continue;
      const { status } = await guarded.ask(method, path, body, await signer.sign(claims));
      expect([path, claims, [401, 403].includes(status)]).toEqual([path, claims, !isOpen]);
    }
  }
});

test('a token that names a timeline opens nothing of another, nor of the tenant', async () => {
  const { tenantId } = guarded.made.world;
  const token = await signer.sign({ scope: 'tenant', tenantId, timelineId: OTHER_TIMELINE });
  const shard = `/v1/tenant/${tenantId}`;
  expect((await guarded.ask('GET', `${shard}/timeline/${VICTIM}`, undefined, token)).status).toBe(403);
  expect((await guarded.ask('GET', shard, undefined, token)).status).toBe(403);
  const own = await signer.sign({ scope: 'tenant', tenantId, timelineId: VICTIM });
  expect((await guarded.ask('GET', `${shard}/timeline/${VICTIM}`, undefined, own)).status).toBe(200);
});

test('an upload is refused before any of it is read, where its token does not open the tenant', async () => {
  const [endpoint] = endpointsOf(guarded.made.world.tenantId).filter(({ path }) =>
    path.includes('import_wal'),
  );
  let isRead = false;
  const body = new ReadableStream<Uint8Array>(
    {
      pull: (controller) => {
        isRead = true;
        controller.enqueue(new Uint8Array(1));
      },
    },
    { highWaterMark: 0 },
  );
  const token = await signer.sign({ scope: 'tenant', tenantId: OTHER_TENANT });
  const { status } = await guarded.ask('PUT', endpoint!.path, body, token);
  expect([status, isRead]).toEqual([403, false]);
});

test('the description names exactly the routes, and the table of endpoints all of them', async () => {
  const { body } = await open.ask('GET', '/openapi.json');
  const document = body as {
    openapi: string;
    paths: Record<string, Record<string, { security?: unknown; responses: Record<string, unknown> }>>;
  };
  expect(document.openapi).toBe('3.1.0');
  const described = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { security }]) => [method, path, security === undefined].join(' ')),
  );
  const routed = open.app.routes.map(({ method, path, access }) =>
    [method, path, access === 'open'].join(' '),
  );
  expect(described.sort()).toEqual([...routed].sort());
  const endpoints = endpointsOf(OTHER_TENANT);
  for (const { method, path } of open.app.routes) {
    const pattern = new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`);
    const known = endpoints.some(
      (endpoint) =>
        endpoint.method.toLowerCase() === method && pattern.test(endpoint.path.replace(/\?.*/, '')),
    );
    expect([method, path, known]).toEqual([method, path, true]);
  }
  const create = document.paths['/v1/tenant/{tenant_shard_id}/timeline']!['post']!;
  expect(Object.keys(create.responses)).toEqual(['201', 'default']);
  // Whatever is referred to is there.
  const text = JSON.stringify(document);
  for (const [, reference] of text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)) {
    expect(text).toContain(`"${reference}":{`);
  }
});

test('the page for users lists the same routes, with the same tokens', async () => {
  const page = await readFile(new URL('../../docs/pageserver-http.md', import.meta.url), 'utf8');
  const rows = [...page.matchAll(/^\| `(GET|POST|PUT|PATCH|DELETE) ([^`]+)` \| (\S+) \|/gm)];
  const TOKENS = { '–': 'open', '`tenant`': 'tenant', '`pageserverapi`': 'service' } as const;
  const written = rows.map(([, method, path, token]) => {
    const pattern = (path as string)
      .replace(/\?.*/, '')
      .replace('TL', '/v1/tenant/{t}/timeline/{l}')
      .replace('TS', '/v1/tenant/{t}');
    return [method, pattern.replaceAll(/\{\w+\}/g, 'ID'), TOKENS[token as keyof typeof TOKENS]].join(' ');
  });
  const tried = endpointsOf(OTHER_TENANT).map(({ method, path, access }) =>
    [method, path.replace(/\?.*/, '').replaceAll(/[0-9a-f]{32}|nothing$/g, 'ID'), access].join(' '),
  );
  expect(written.sort()).toEqual(tried.sort());
});

const T = '1'.repeat(32);
const TS = `/v1/tenant/${T}`;
const TL = `${TS}/timeline/${VICTIM}`;
const branch = { new_timeline_id: '6'.repeat(32), ancestor_timeline_id: VICTIM };

test.each<[string, string, string, unknown, number, RegExp]>([
  ['a bad tenant', 'GET', '/v1/tenant/xyz', undefined, 400, /tenant_shard_id/],
  ['a shard that cannot be', 'GET', `${TS}-0201`, undefined, 400, /no such shard/],
  ['a bad timeline', 'GET', `${TS}/timeline/1`, undefined, 400, /timeline_id/],
  ['a bad LSN', 'GET', `${TL}/get_timestamp_of_lsn?lsn=x`, undefined, 400, /lsn/],
  ['a bad time', 'GET', `${TL}/get_lsn_by_timestamp?timestamp=now`, undefined, 400, /timestamp/],
  ['a bad key', 'GET', `${TL}/getpage?key=00`, undefined, 400, /key/],
  ['an unknown layer', 'GET', `${TL}/layer/x`, undefined, 400, /no layer/],
  ['an unknown flag', 'PUT', `${TL}/compact?force_l0_compaction=true`, undefined, 400, /force_l0/],
  ['no body', 'POST', `${TS}/timeline`, undefined, 400, /missing request body/],
  ['a bad branch LSN', 'POST', `${TS}/timeline`, { ...branch, ancestor_start_lsn: 'x' }, 400, /start_lsn/],
  ['an unknown field of a branch', 'POST', `${TS}/timeline`, { ...branch, x: 1 }, 400, /"x"/],
  [
    'an LSN and a time',
    'POST',
    `${TS}/timeline`,
    { ...branch, ancestor_start_lsn: '0/1000028', ancestor_start_time: '2026-01-01T00:00:00Z' },
    400,
    /not at both/,
  ],
  [
    'a bootstrap',
    'POST',
    `${TS}/timeline`,
    { new_timeline_id: '6'.repeat(32) },
    412,
    /no programs of PostgreSQL/,
  ],
  [
    'another initdb',
    'POST',
    `${TS}/timeline`,
    { new_timeline_id: VICTIM, existing_initdb_timeline_id: VICTIM },
    400,
    /existing_initdb/,
  ],
  ['no tenant_conf', 'PUT', `${TS}/location_config`, { mode: 'AttachedSingle' }, 400, /tenant_conf/],
  ['an unknown mode', 'PUT', `${TS}/location_config`, { mode: 'Attached', tenant_conf: {} }, 400, /mode/],
  [
    'an unknown field of a location',
    'PUT',
    `${TS}/location_config`,
    { mode: 'Detached', tenant_conf: {}, x: 1 },
    400,
    /"x"/,
  ],
  [
    'another mode',
    'PUT',
    `${TS}/location_config`,
    { mode: 'Secondary', tenant_conf: {} },
    400,
    /not Secondary/,
  ],
  ['an unknown setting', 'PUT', '/v1/tenant/config', { tenant_id: T, no_such: 1 }, 400, /no_such/],
  ['a bad setting', 'PATCH', '/v1/tenant/config', { tenant_id: T, pitr_interval: 'x' }, 400, /pitr/],
  ['a bad timeline to wait for', 'POST', `${TS}/wait_lsn`, waitFor({ x: '0/1' }), 400, /timeline id/],
  ['a wait without end', 'POST', `${TS}/wait_lsn`, { timeout: { secs: 1e9, nanos: 0 } }, 400, /timeout/],
  ['a body that is none', 'DELETE', TL, {}, 400, /unexpected/],
  ['a huge body', 'POST', `${TL}/lsn_lease`, { lsn: ' '.repeat(1024 * 1024) }, 413, /more than/],
  ['an unknown path', 'GET', '/v1/nothing', undefined, 404, /page not found/],
])('%s is refused by name', async (_, method, path, body, status, msg) => {
  const answer = await open.ask(method, path, body);
  expect(answer).toMatchObject({ status, body: { msg: expect.stringMatching(msg) } });
});

function waitFor(lsns: object): object {
  return { ...lsns, timeout: { secs: 0, nanos: 0 } };
}

test('PS-19: a tenant is no shard, and a shard no tenant', async () => {
  const shard = `${T}-0102`;
  const sharded = await open.ask('GET', `/v1/tenant/${shard}`);
  expect(sharded).toMatchObject({
    status: 404,
    body: { msg: `NotFound: tenant ${shard} is not attached here` },
  });
  const imported = `/v1/tenant/${shard}/timeline/${VICTIM}/import_wal?start_lsn=0/1&end_lsn=0/2`;
  const answers = [
    await open.ask('PUT', imported, new Uint8Array(1)),
    await open.ask('PUT', '/v1/tenant/config', { tenant_id: shard }),
    await open.ask('PUT', `/v1/tenant/${shard}/location_config`, { mode: 'AttachedSingle', tenant_conf: {} }),
    await open.ask('PUT', `${TS}/location_config`, {
      mode: 'AttachedSingle',
      shard_number: 1,
      shard_count: 2,
      tenant_conf: {},
    }),
  ];
  expect(answers.map(({ status }) => status)).toEqual([400, 400, 400, 400]);
});

test('an upload is taken piece by piece; what its handler does not want is not read', async () => {
  const path = `${TL}/import_wal?start_lsn=0/1&end_lsn=0/2`;
  let pulled = 0;
  const stream = (chunks: number, last: number): ReadableStream<Uint8Array> =>
    new ReadableStream(
      {
        pull: (controller) => {
          if (pulled++ === chunks) controller.close();
          else controller.enqueue(new Uint8Array(1024 * 1024).fill(pulled === chunks ? last : 1));
        },
      },
      { highWaterMark: 0 },
    );
  extensions.uploadedBytes = 0;
  expect((await open.ask('PUT', path, stream(50, 1))).status).toBe(200);
  expect(extensions.uploadedBytes).toBe(50 * 1024 * 1024);
  pulled = 0;
  expect(await open.ask('PUT', path, stream(2, 0xee))).toMatchObject({
    status: 400,
    body: { code: 'BAD_TAR' },
  });
  expect(pulled).toBe(2);
});

test('the client uploads piece by piece', async () => {
  const client = new PageserverClient({
    http: {
      serve: () => Promise.reject(new Error('not served')),
      request: (request) => open.app.handler(request, 'test'),
    },
    clock: nodeClock,
    baseUrl: 'http://pageserver:9898',
  });
  async function* pieces(last: number): AsyncGenerator<Uint8Array> {
    for (let count = 0; count < 10; count++) yield new Uint8Array(1000);
    yield new Uint8Array([last]);
  }
  const { signal } = new AbortController();
  const key = { tenant_id: parseTenantId(T), timeline_id: VICTIM };
  extensions.uploadedBytes = 0;
  await client.importWal(key, { start_lsn: toLsn(1), end_lsn: toLsn(2) }, pieces(1), signal);
  expect(extensions.uploadedBytes).toBe(10_001);
  const query = { base_lsn: toLsn(1), end_lsn: toLsn(2), pg_version: 17 };
  await expect(client.importBaseBackup(key, query, pieces(0xee), signal)).rejects.toMatchObject({
    kind: 'bad-request',
    code: 'BAD_TAR',
  });
});

test('whatever is asked is answered, and nothing of it is a bug', { timeout: 60_000 }, async () => {
  const endpoints = endpointsOf(T).filter(
    ({ path, method }) => !path.startsWith('/profile/') && method !== 'DELETE',
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...endpoints),
      fc.string({ maxLength: 12 }),
      fc.nat(200),
      fc.oneof(fc.jsonValue(), fc.constant(undefined)),
      async ({ method, path, body }, text, place, other) => {
        const at = place % path.length;
        const damaged = `${path.slice(0, at)}${encodeURIComponent(text)}${path.slice(at + 1)}`;
        const isGet = method === 'GET';
        for (const [askedPath, askedBody] of [
          [damaged.startsWith('/') ? damaged : `/${damaged}`, body],
          [path, isGet ? undefined : (other ?? undefined)],
        ] as const) {
          const { status } = await open.ask(method, askedPath, askedBody);
          expect([askedPath, askedBody, status === 500 || status === 502]).toEqual([
            askedPath,
            askedBody,
            false,
          ]);
        }
      },
    ),
    { numRuns: 150 },
  );
});

test('a profile says where time goes, and one is taken at a time', async () => {
  const taking = open.ask('GET', '/profile/cpu?seconds=1');
  await new Promise((resolve) => setImmediate(resolve));
  expect(await open.ask('GET', '/profile/heap')).toMatchObject({
    status: 409,
    body: { code: 'PROFILE_RUNNING' },
  });
  expect(await taking).toMatchObject({
    status: 200,
    body: { nodes: expect.any(Array), samples: expect.any(Array) },
  });
  expect((await open.ask('GET', '/profile/cpu?seconds=61')).status).toBe(400);
});

test('problems call themselves so where that is asked for', async () => {
  const headers = { accept: 'application/problem+json, application/json;q=0.5' };
  const { headers: given, body } = await open.send(new Request('http://test/v1/tenant/xyz', { headers }));
  expect(given.get('content-type')).toBe('application/problem+json');
  expect(body).toMatchObject({ status: 400, type: 'urn:varve:error:BAD_REQUEST' });
});
