import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeTokenKeys } from '../safekeeper/running-safekeeper.ts';
import { ControlWorld } from './control-world.ts';

let world: ControlWorld;

beforeAll(async () => {
  world = await ControlWorld.start();
  await world.ask('POST', 'projects', { name: 'p' });
  await world.ask('POST', 'projects/p/branches', { name: 'child' });
  await world.ask('POST', 'projects/p/branches', { name: 'grandchild', parent: 'child' });
  await world.ask('POST', 'projects/p/branches', { name: 'kept', protected: true });
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const rowsOf = (): Promise<object[]> =>
  world.rows(
    `SELECT (SELECT count(*) FROM varve_control.projects) AS projects,
      (SELECT count(*) FROM varve_control.branches) AS branches,
      (SELECT count(*) FROM varve_control.timelines) AS timelines,
      (SELECT count(*) FROM varve_control.endpoints) AS endpoints,
      (SELECT count(*) FROM varve_control.roles) AS roles`,
  );

const B = 'projects/p/branches';
const SQL = "x'; DROP TABLE varve_control.projects; --";
const hour = 3_600_000;
const at = (offsetMs: number): string => new Date(Date.now() + offsetMs).toISOString();

/** What is asked, and what it is answered: status and code. */
const WRONG: readonly (readonly [string, string, string, unknown, number, string])[] = [
  ['an unknown route', 'GET', 'nothing', undefined, 404, 'ROUTE_NOT_FOUND'],
  ['no JSON', 'POST', 'projects', '{', 400, 'MALFORMED_JSON'],
  ['no body', 'POST', 'projects', undefined, 400, 'MISSING_BODY'],
  ['a field too many', 'POST', 'projects', { name: 'x', colour: 'red' }, 400, 'BAD_REQUEST'],
  ['an empty name', 'POST', 'projects', { name: '' }, 400, 'BAD_REQUEST'],
  ['SQL in a name', 'POST', 'projects', { name: SQL }, 400, 'BAD_REQUEST'],
  [
    'SQL where a name is looked for',
    'GET',
    `projects/${encodeURIComponent(SQL)}`,
    undefined,
    404,
    'PROJECT_NOT_FOUND',
  ],
  ['a name like an id', 'POST', B, { name: 'br-0123456789abcdef' }, 400, 'BAD_REQUEST'],
  ['a name that is too long', 'POST', B, { name: 'n'.repeat(64) }, 400, 'BAD_REQUEST'],
  ['a project that is there', 'POST', 'projects', { name: 'p' }, 409, 'PROJECT_EXISTS'],
  ['a branch that is there', 'POST', B, { name: 'child' }, 409, 'BRANCH_EXISTS'],
  ['no such project', 'GET', 'projects/q/branches', undefined, 404, 'PROJECT_NOT_FOUND'],
  ['no such parent', 'POST', B, { name: 'x', parent: 'q' }, 404, 'BRANCH_NOT_FOUND'],
  ['no such branch', 'DELETE', `${B}/q`, undefined, 404, 'BRANCH_NOT_FOUND'],
  ['an LSN and a time', 'POST', B, { name: 'x', lsn: '0/1', time: at(0) }, 400, 'BAD_REQUEST'],
  ['what is no LSN', 'POST', B, { name: 'x', lsn: '1/2/3' }, 400, 'BAD_REQUEST'],
  ['an LSN before the history', 'POST', B, { name: 'x', lsn: '0/10' }, 406, 'BAD_BRANCH_POINT'],
  ['an LSN that is to come', 'POST', B, { name: 'x', lsn: 'FFFF/0' }, 406, 'BAD_BRANCH_POINT'],
  ['what is no time', 'POST', B, { name: 'x', time: 'yesterday' }, 400, 'BAD_REQUEST'],
  ['a time to come', 'POST', B, { name: 'x', time: at(hour) }, 400, 'TIME_IN_FUTURE'],
  [
    'a time before the history',
    'POST',
    B,
    { name: 'x', time: '2001-01-01T00:00:00Z' },
    406,
    'BAD_BRANCH_POINT',
  ],
  ['an expiry that is over', 'POST', B, { name: 'x', expiresAt: at(-hour) }, 400, 'BAD_EXPIRY'],
  ['a restore to nowhere', 'POST', `${B}/main/restore`, {}, 400, 'BAD_REQUEST'],
  ['a restore to what was never', 'POST', `${B}/main/restore`, { lsn: '0/10' }, 406, 'BAD_BRANCH_POINT'],
  ['a reset of the root', 'POST', `${B}/main/reset`, {}, 412, 'BRANCH_IS_ROOT'],
  ['a reset of what is protected', 'POST', `${B}/kept/reset`, {}, 412, 'BRANCH_PROTECTED'],
  ['a reset of what has children', 'POST', `${B}/child/reset`, {}, 412, 'BRANCH_HAS_CHILDREN'],
  ['the deletion of the default', 'DELETE', `${B}/main`, undefined, 412, 'BRANCH_IS_ROOT'],
  ['the deletion of what has children', 'DELETE', `${B}/child`, undefined, 412, 'BRANCH_HAS_CHILDREN'],
  ['the deletion of what is protected', 'DELETE', `${B}/kept`, undefined, 412, 'BRANCH_PROTECTED'],
  ['the deletion of its project', 'DELETE', 'projects/p', undefined, 412, 'BRANCH_PROTECTED'],
  ['a primary at an LSN', 'POST', `${B}/main/endpoints`, { lsn: '0/1' }, 400, 'BAD_REQUEST'],
  ['a port that is none', 'POST', `${B}/main/endpoints`, { port: 65_536 }, 400, 'BAD_REQUEST'],
  ['a setting that is none', 'POST', `${B}/main/endpoints`, { settings: { 'a b': '1' } }, 400, 'BAD_REQUEST'],
  ['no such endpoint', 'POST', 'projects/p/endpoints/ep-0/start', undefined, 404, 'ENDPOINT_NOT_FOUND'],
  ['a role that PostgreSQL keeps', 'POST', 'projects/p/roles', { name: 'pg_x' }, 400, 'BAD_REQUEST'],
  [
    'a password of other letters',
    'POST',
    'projects/p/roles',
    { name: 'r', password: 'ü' },
    400,
    'BAD_REQUEST',
  ],
  ['no such role', 'DELETE', 'projects/p/roles/r', undefined, 404, 'ROLE_NOT_FOUND'],
  ['what is no operation', 'GET', 'operations/1', undefined, 400, 'BAD_REQUEST'],
  ['no such operation', 'GET', 'operations/op-0123456789abcdef', undefined, 404, 'OPERATION_NOT_FOUND'],
  ['a node that is none', 'PUT', 'nodes/pageserver/0', {}, 400, 'BAD_REQUEST'],
  [
    'a generation that is none',
    'POST',
    '/upcall/v1/validate',
    { tenants: [{ id: 'x', gen: 1 }] },
    400,
    'BAD_REQUEST',
  ],
];

describe('what is wrong is answered by a code, and leaves nothing behind', () => {
  test.each(WRONG)('%s', async (_name, method, path, body, status, code) => {
    const before = await rowsOf();
    const answer = await world.ask(method, path, body);
    expect({ status: answer.status, ...answer.json }).toMatchObject({ status, code });
    expect(answer.contentType).toBe('application/problem+json');
    await world.settled();
    expect(await rowsOf()).toEqual(before);
  });
});

test('a body of 100 MB is refused before it is read', async () => {
  const chunk = new Uint8Array(1024 * 1024).fill(0x20);
  let sent = 0;
  const body = new ReadableStream({
    pull: (controller) => {
      if (sent++ < 100) controller.enqueue(chunk);
      else controller.close();
    },
  });
  const outcome = await fetch(`${world.url}/api/v1/projects`, {
    method: 'POST',
    body,
    duplex: 'half',
    headers: { 'content-type': 'application/json' },
  } as RequestInit).then(
    ({ status }) => status,
    () => 'cut',
  );
  expect([413, 'cut']).toContain(outcome);
  expect(sent).toBeLessThan(50);
});

test('one idempotency key is one request', async () => {
  const headers = { 'idempotency-key': 'once' };
  const name = 'once';
  const answers: Awaited<ReturnType<typeof world.ask>>[] = [];
  for (let time = 0; time < 3; time++) answers.push(await world.ask('POST', B, { name }, headers));
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
  expect(answers[2]?.json).toEqual(answers[0]?.json);
  const other = await world.ask('POST', B, { name: 'other' }, headers);
  expect(other).toMatchObject({ status: 409, json: { code: 'IDEMPOTENCY_KEY_REUSED' } });
  const bad = await world.ask('POST', B, { name: 'other' }, { 'idempotency-key': 'a b' });
  expect(bad).toMatchObject({ status: 400, json: { code: 'BAD_IDEMPOTENCY_KEY' } });
  const headersOfFailure = { 'idempotency-key': 'fails' };
  for (let time = 0; time < 2; time++) {
    const failed = await world.ask('POST', B, { name: 'x', lsn: '0/10' }, headersOfFailure);
    expect(failed).toMatchObject({ status: 406, json: { code: 'BAD_BRANCH_POINT' } });
  }
});

test('a branch is renamed, protected, and goes when it expires', async () => {
  await world.ask('POST', B, { name: 'short' });
  expect(await world.ask('PATCH', `${B}/short`, { name: 'child' })).toMatchObject({ status: 409 });
  expect(await world.ask('PATCH', `${B}/short`, { name: 'brief', protected: true })).toMatchObject({
    status: 200,
    json: { branch: { name: 'brief', isProtected: true } },
  });
  const soon = at(150);
  const patched = await world.ask('PATCH', `${B}/brief`, { protected: false, expiresAt: soon });
  expect(patched).toMatchObject({ status: 200, json: { branch: { isProtected: false, expiresAt: soon } } });
  await expect.poll(async () => (await world.ask('GET', `${B}/brief`)).status, { timeout: 10_000 }).toBe(404);
  await world.settled();
});

test('with keys a token is asked for, of the right scope for each door', async () => {
  const { publicKeyPem, signer } = await makeTokenKeys();
  const directory = await mkdtemp(join(tmpdir(), 'varve-keys-'));
  const tokenKeysPath = join(directory, 'key.pem');
  await writeFile(tokenKeysPath, publicKeyPem);
  try {
    await world.life.service.close();
    await world.open({ tokenKeysPath });
    const bearer = async (scope: 'admin' | 'generations_api' | 'pageserverapi') => ({
      authorization: `Bearer ${await signer.sign({ scope })}`,
    });
    const ask = async (method: string, path: string, headers: Record<string, string>, body?: unknown) => {
      const { status, json } = await world.ask<{ code?: string }>(method, path, body, headers);
      return `${status} ${json.code ?? ''}`.trim();
    };
    const claims = { tenants: [] };
    expect([
      await ask('GET', 'projects', {}),
      await ask('GET', 'projects', { authorization: 'Bearer wrong' }),
      await ask('GET', 'projects', await bearer('pageserverapi')),
      await ask('GET', 'projects', await bearer('generations_api')),
      await ask('GET', 'projects', await bearer('admin')),
      await ask('POST', '/upcall/v1/validate', await bearer('pageserverapi'), claims),
      await ask('POST', '/upcall/v1/validate', await bearer('generations_api'), claims),
      await ask('GET', '/openapi.json', {}),
    ]).toEqual([
      '401 TOKEN_MISSING',
      '403 TOKEN_REFUSED',
      '403 SCOPE_REFUSED',
      '403 SCOPE_REFUSED',
      '200',
      '403 SCOPE_REFUSED',
      '200',
      '200',
    ]);
  } finally {
    await world.life.service.close();
    await world.open();
    await rm(directory, { recursive: true });
  }
});

test('the API describes itself', async () => {
  const { json } = await world.ask<{ openapi: string; paths: Record<string, object> }>(
    'GET',
    '/api/v1/openapi.json',
  );
  expect(json.openapi).toBe('3.1.0');
  expect(Object.keys(json.paths)).toContain('/api/v1/projects/{project}/branches/{branch}/restore');
});
