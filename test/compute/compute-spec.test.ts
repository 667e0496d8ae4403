// What a spec makes of a server: settings, who may log in and how, roles, databases, TLS, libraries.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deriveScramSecret, formatScramSecret } from '../../src/postgres/wire/scram.ts';
import { VarveWorld } from '../end-to-end/varve-world.ts';
import { makeSelfSigned } from '../support/certificates.ts';
import { errorOf, query, readyLine } from './compute-client.ts';

const TIMEOUT_MS = 120_000;
const EXIT_BAD_REQUEST = 2;
const PASSWORD = 'correct horse battery';

let world: VarveWorld;

beforeAll(async () => {
  world = await VarveWorld.start();
  await world.createTimeline();
}, TIMEOUT_MS);

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function writeSpec(name: string, spec: unknown): Promise<string> {
  const path = join(world.directory, `${name}.json`);
  await writeFile(path, JSON.stringify(spec));
  await chmod(path, 0o600);
  return path;
}

/** Every row that a spec can change, with the transaction that has made it. */
const rowsOfSpecs = async (url: string): Promise<unknown> =>
  await query(
    url,
    `SELECT xmin::text, oid FROM pg_authid UNION ALL SELECT xmin::text, oid FROM pg_auth_members
     UNION ALL SELECT xmin::text, oid FROM pg_database ORDER BY 2`,
  );

/** What is in files that a client could make the server keep. */
function kept(name: string): string {
  const data = join(world.directory, name, 'data');
  const files = readdirSync(join(data, 'pg_wal'), { withFileTypes: true }).filter((each) => each.isFile());
  const wal = files.map((each) => readFileSync(join(each.parentPath, each.name), 'latin1'));
  return [...wal, readFileSync(join(world.directory, name, 'postgres.log'), 'latin1')].join();
}

test('roles and databases are made, changed where they differ, and otherwise cost no WAL', {
  timeout: TIMEOUT_MS,
}, async () => {
  const odd = `x"; DROP TABLE a; --'\\ü`;
  const secret = formatScramSecret(deriveScramSecret('known', new Uint8Array(16).fill(7), 4096));
  const roles = [
    { name: 'app', password: PASSWORD, login: true, createdb: true, memberOf: [odd, 'pg_monitor'] },
    { name: odd, connectionLimit: 5, validUntil: '2030-01-01T00:00:00+01:00' },
    { name: 'keeper', password: secret, login: true, replication: true, bypassrls: true, createrole: true },
  ];
  const databases = [{ name: odd, owner: 'app' }, { name: 'postgres' }];
  const spec = await writeSpec('objects', {
    roles,
    databases,
    settings: { work_mem: '3MB', LOG_STATEMENT: 'all', jit: false, max_connections: 40 },
    hostBasedAuthentication: ['host all postgres all trust', 'host all all all scram-sha-256'],
  });
  const args = ['--spec', spec, '--set', 'work_mem=4MB'];
  const first = world.spawnCompute(world.main, 'spec-1', args);
  const { url, steps } = await readyLine(first);
  expect(Object.keys(steps)).toContain('spec');
  const shown = `SELECT current_setting('work_mem') AS a, current_setting('jit') AS b, current_setting('max_connections') AS c`;
  expect(await query(url, shown)).toEqual([{ a: '4MB', b: 'off', c: '40' }]);
  expect(
    await query(
      url,
      `SELECT rolname, rolsuper, rolcanlogin, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolconnlimit,
         extract(epoch FROM rolvaliduntil)::int8::text AS until, rolpassword LIKE 'SCRAM-SHA-256$4096:%' AS secret,
         ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = roleid WHERE member = a.oid ORDER BY 1) AS groups
       FROM pg_authid a WHERE oid > 16000 ORDER BY rolname COLLATE "C"`,
    ),
  ).toEqual([
    {
      ...{ rolname: 'app', rolsuper: false, rolcanlogin: true, rolcreatedb: true, rolcreaterole: false },
      ...{ rolreplication: false, rolbypassrls: false, rolconnlimit: -1, until: null, secret: true },
      groups: ['pg_monitor', odd],
    },
    {
      ...{ rolname: 'keeper', rolsuper: false, rolcanlogin: true, rolcreatedb: false, rolcreaterole: true },
      ...{ rolreplication: true, rolbypassrls: true, rolconnlimit: -1, until: null, secret: true },
      groups: [],
    },
    {
      ...{ rolname: odd, rolsuper: false, rolcanlogin: false, rolcreatedb: false, rolcreaterole: false },
      ...{ rolreplication: false, rolbypassrls: false, rolconnlimit: 5, until: '1893452400', secret: null },
      groups: [],
    },
  ]);
  const { port } = new URL(url);
  const logIn = async (user: string, password: string, database = 'postgres'): Promise<unknown> => {
    const client = new Client({ host: '127.0.0.1', port: Number(port), user, password, database });
    await client.connect();
    const { rows } = await client.query('SELECT current_user AS me, current_database() AS here');
    await client.end();
    return rows[0];
  };
  expect(await logIn('app', PASSWORD, odd)).toEqual({ me: 'app', here: odd });
  expect(await logIn('keeper', 'known')).toEqual({ me: 'keeper', here: 'postgres' });
  await expect(logIn('app', 'wrong')).rejects.toThrow(/password authentication failed/);
  const log = readFileSync(join(world.directory, 'spec-1', 'postgres.log'), 'utf8');
  expect(log).toMatch(/statement: SELECT current_setting/);
  expect(log).not.toMatch(/SCRAM-SHA-256\$4096:[^%]/);
  expect(kept('spec-1')).toMatch(/SCRAM-SHA-256\$4096:[^%]/);
  expect(kept('spec-1').includes(PASSWORD)).toBe(false);
  await query(url, 'ALTER ROLE app CREATEROLE');
  const before = await rowsOfSpecs(url);
  expect(await first.kill('SIGTERM')).toBe(0);

  // The same spec changes no row.
  const again = world.spawnCompute(world.main, 'spec-1', args);
  const second = await readyLine(again);
  expect(await rowsOfSpecs(second.url)).toEqual(before);
  expect(await query(second.url, "SELECT rolcreaterole FROM pg_roles WHERE rolname = 'app'")).toEqual([
    { rolcreaterole: true },
  ]);
  expect(await again.kill('SIGTERM')).toBe(0);

  const changed = await writeSpec('changed', {
    roles: [
      { name: 'app', password: 'another', createdb: false, validUntil: 'infinity' },
      { name: 'keeper', password: null },
    ],
    databases: [{ name: odd, owner: 'keeper' }],
    hostBasedAuthentication: ['host all postgres all trust', 'host all all all scram-sha-256'],
  });
  const third = world.spawnCompute(world.main, 'spec-2', ['--spec', changed, '--log-level', 'info']);
  const { url: thirdUrl } = await readyLine(third);
  expect(third.log.find(({ changes }) => changes !== undefined)).toMatchObject({
    changes: ['roles.0', 'roles.1', 'databases.0.owner'],
  });
  expect(
    await query(
      thirdUrl,
      `SELECT rolname, rolcreatedb, rolvaliduntil::text, rolpassword IS NULL AS open FROM pg_authid
       WHERE rolname IN ('app', 'keeper') ORDER BY 1`,
    ),
  ).toEqual([
    { rolname: 'app', rolcreatedb: false, rolvaliduntil: 'infinity', open: false },
    { rolname: 'keeper', rolcreatedb: false, rolvaliduntil: null, open: true },
  ]);
  expect(
    await query(thirdUrl, `SELECT pg_get_userbyid(datdba) AS o FROM pg_database WHERE datdba > 16000`),
  ).toEqual([{ o: 'keeper' }]);
  expect(await third.kill('SIGTERM')).toBe(0);
});

test('clients may speak TLS with a server that has a certificate, which is the account’s alone', {
  timeout: TIMEOUT_MS,
}, async () => {
  const { certificate, privateKey } = makeSelfSigned(['localhost', '127.0.0.1']);
  await writeFile(join(world.directory, 'server.pem'), certificate);
  await writeFile(join(world.directory, 'key.pem'), privateKey, { mode: 0o600 });
  const spec = await writeSpec('tls', {
    // Paths are seen from where the spec is.
    tls: { certificate: 'server.pem', key: privateKey },
    hostBasedAuthentication: ['hostnossl all all all reject', 'hostssl all all all trust'],
  });
  const agent = world.spawnCompute(world.main, 'spec-3', ['--spec', spec]);
  const { url } = await readyLine(agent);
  await expect(query(url, 'SELECT 1')).rejects.toThrow(/no encryption/);
  const client = new Client({ connectionString: url, ssl: { ca: certificate, servername: 'localhost' } });
  await client.connect();
  expect(
    (await client.query('SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()')).rows,
  ).toEqual([{ ssl: true, version: expect.stringMatching(/^TLSv1/) }]);
  await client.query("ALTER SYSTEM SET ssl = 'off'");
  await client.query('SELECT pg_reload_conf()');
  expect((await client.query('SHOW ssl')).rows).toEqual([{ ssl: 'on' }]);
  await client.end();
  const data = join(world.directory, 'spec-3', 'data');
  for (const name of ['server.crt', 'server.key']) {
    const { mode, uid } = statSync(join(data, name));
    expect([name, mode & 0o777, uid]).toEqual([name, 0o600, statSync(data).uid]);
  }
  expect(await agent.kill('SIGTERM')).toBe(0);
});

test('a server of the past or of another’s branch takes the settings, and leaves roles as they are', {
  timeout: TIMEOUT_MS,
}, async () => {
  const agent = world.spawnCompute(world.main, 'spec-4');
  const { url } = await readyLine(agent);
  const [{ lsn }] = (await query(url, 'SELECT pg_current_wal_lsn()::text AS lsn')) as [{ lsn: string }];
  const spec = await writeSpec('past', { roles: [{ name: 'late' }], settings: { work_mem: '5MB' } });
  const past = world.spawnCompute(world.main, 'spec-5', ['--read-only', '--at', lsn, '--spec', spec]);
  const { url: pastUrl } = await readyLine(past);
  expect(await query(pastUrl, 'SHOW work_mem')).toEqual([{ work_mem: '5MB' }]);
  expect(await query(pastUrl, "SELECT 1 FROM pg_roles WHERE rolname = 'late'")).toEqual([]);
  expect(await past.kill('SIGTERM')).toBe(0);
  expect(await agent.kill('SIGTERM')).toBe(0);
});

test('what the server refuses of a spec is named, and roles are all as they were', {
  timeout: TIMEOUT_MS,
}, async () => {
  const spec = await writeSpec('refused', {
    roles: [{ name: 'first' }, { name: 'second', memberOf: ['nobody_such'] }],
  });
  const agent = world.spawnCompute(world.main, 'spec-6', ['--spec', spec]);
  expect(await agent.ended).not.toBe(0);
  expect(errorOf(agent)).toMatchObject({
    kind: 'not-found',
    code: 'SPEC_REFUSED',
    message: 'roles.1.memberOf.0 of the spec: role "nobody_such" does not exist',
  });
  expect(readdirSync(join(world.directory, 'spec-6'))).toEqual(['compute.id']);
  const next = world.spawnCompute(world.main, 'spec-6');
  const { url } = await readyLine(next);
  expect(await query(url, "SELECT 1 FROM pg_roles WHERE rolname IN ('first', 'second')")).toEqual([]);
  expect(await next.kill('SIGTERM')).toBe(0);
});

test.each([
  ['a text that is no JSON', '{"roles": [{"name": "a", "password": "secret" "x"}]}', /no JSON at position/],
  [
    'a field that is not there',
    { setings: {} },
    /setings: there is no such field; did you mean “settings”\?/,
  ],
  ['a role’s', { roles: [{ name: 'a', passwort: 'secret' }] }, /roles\.0\.passwort: .* mean “password”/],
  ['a wrong type', { roles: [{ name: 'a', connectionLimit: '5' }] }, /roles\.0\.connectionLimit: /],
  [
    'a file that is not there',
    { tls: { certificate: 'none.pem', key: 'none.pem' } },
    /tls\.certificate .*no such file/,
  ],
  [
    'a setting that is not to be chosen',
    { settings: { fsync: true } },
    /settings\.fsync: the setting fsync is not/,
  ],
  [
    'logical decoding',
    { settings: { WAL_LEVEL: 'logical' } },
    /settings\.WAL_LEVEL: .* a logical slot is in no WAL/,
  ],
])(
  '%s in a spec is refused by name, before anything is done',
  {
    timeout: TIMEOUT_MS,
  },
  async (_name, spec, reason) => {
    const path = join(world.directory, 'bad.json');
    await writeFile(path, typeof spec === 'string' ? spec : JSON.stringify(spec));
    const agent = world.spawnCompute(world.main, 'spec-7', ['--spec', path]);
    expect(await agent.ended).toBe(EXIT_BAD_REQUEST);
    const { error } = JSON.parse(agent.errorText);
    expect(error).toMatchObject({ code: 'BAD_SPEC', message: expect.stringMatching(reason) });
    expect(error.message).not.toMatch(/secret/);
    expect(existsSync(join(world.directory, 'spec-7'))).toBe(false);
  },
);

test('a key that is not its certificate’s is refused', { timeout: TIMEOUT_MS }, async () => {
  const { certificate } = makeSelfSigned(['localhost']);
  const { privateKey } = makeSelfSigned(['localhost']);
  const spec = await writeSpec('other-key', { tls: { certificate, key: privateKey } });
  const agent = world.spawnCompute(world.main, 'spec-8', ['--spec', spec]);
  expect(await agent.ended).toBe(EXIT_BAD_REQUEST);
  expect(errorOf(agent)).toMatchObject({
    code: 'BAD_SPEC',
    message: expect.stringMatching(/^tls of the spec: .*key values mismatch/),
  });
});
