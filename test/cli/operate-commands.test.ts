import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SystemStatus } from '../../src/contracts/control-api-status.ts';
import type { Finding } from '../../src/doctor/finding.ts';
import { prepareBinaries } from '../../src/io/node/postgres-binaries.ts';
import { findAccount } from '../../src/io/node/unprivileged-account.ts';
import type { VarveProcess } from '../support/varve-process.ts';
import { query, type Ready, SystemWorld } from '../system/system-world.ts';

const TIMEOUT_MS = 120_000;

type Status = Omit<SystemStatus, 'branches'> & {
  readonly branches: readonly (SystemStatus['branches'][number] & { readonly bytesBeyondBucket: number })[];
};

const errorOf = (process: VarveProcess): { code: string; message: string } =>
  JSON.parse(process.errorText.trimEnd().split('\n').at(-1) ?? '').error;

/** Lines of JSON until one is what is looked for. */
async function until<Value>(process: VarveProcess, isWanted: (value: Value) => boolean): Promise<Value> {
  for (;;) {
    const value = await process.line<Value>();
    if (isWanted(value)) return value;
  }
}

describe('a system that is looked after', () => {
  let world: SystemWorld;
  let system: VarveProcess;
  let ready: Ready;
  let programs: string;

  beforeAll(async () => {
    world = await SystemWorld.make();
    // Known by another name, so that it is seen who is run.
    const place = dirname(world.directory);
    symlinkSync(dirname(await prepareBinaries(findAccount())), join(place, 'given'));
    programs = join(place, 'given/bin');
    const file = join(place, 'of-this-machine.toml');
    writeFileSync(
      file,
      '[start]\npg-bin = "given/bin"\nport = 0\napi-port = 0\nsuspend-after = "0s"\nsafekeepers = 2\n',
    );
    system = world.run('start', '--config', file);
    ready = await system.line<Ready>();
  }, TIMEOUT_MS);

  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  test('runs as its file says, with the programs that are given', async () => {
    const servers = world.processes().filter((text) => text.includes('/postgres -D'));
    expect(servers.length).toBeGreaterThan(0);
    for (const server of servers) expect(server).toContain(`${programs}/postgres`);
    expect(await query(ready.url, 'SELECT 1 AS a')).toEqual([{ a: 1 }]);
  });

  test('status tells each position, what would be lost, and how servers have started', {
    timeout: TIMEOUT_MS,
  }, async () => {
    await query(ready.url, 'CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i');
    const status = await world.run('status').line<Status>();
    const [branch] = status.branches;
    if (branch === undefined) throw new Error('there is no branch');
    const { computeLsn, safekeepers, pageserver, headLsn, bucketLsn, bytesBeyondBucket, endpoints } = branch;
    expect(safekeepers.map(({ id, error }) => [id, error])).toEqual([
      [1, null],
      [2, null],
    ]);
    for (const each of [
      computeLsn,
      pageserver?.lastRecordLsn,
      pageserver?.remoteConsistentLsn,
      headLsn,
      bucketLsn,
    ]) {
      expect(each).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
    }
    // Nothing has been uploaded since: the table is in WAL only.
    expect(bytesBeyondBucket).toBeGreaterThan(1000);
    const steps = endpoints[0]?.startSteps ?? [];
    expect(steps.map(({ step }) => step)).toEqual(expect.arrayContaining(['elect', 'start set', 'server']));
    for (const { ms } of steps) expect(ms).toBeGreaterThanOrEqual(0);

    const { out } = await world.text('status', 'main');
    expect(out).toMatch(
      /^varve \S+: 3 of 3 storage nodes answer\n\nmain\/main\n {2}compute +commit [0-9A-F]+\//,
    );
    expect(out).toMatch(/\n {2}safekeeper 2 +flush \S+ {2}commit \S+ {2}in the bucket \S+ {2}term \d+\n/);
    expect(out).toMatch(/\n {2}pageserver 1 +last record \S+ {2}on disk \S+ {2}in the bucket \S+\n/);
    expect(out).toMatch(
      /\n {2}bucket +enough up to \S+, of \S+: .* KiB of WAL would be lost if it were all that is left\n/,
    );
    expect(out).toMatch(
      /\n {2}ep-\S+ +primary, active at \d+, started in \d+ ms \(prepare \d+, .*server \d+/,
    );
    expect((await world.text('status', '--short')).out).toMatch(
      /\nmain +main +active at \d+ +\S+ +\S+ +\d.* KiB\n$/,
    );
    const missing = world.run('status', 'nothing');
    expect(await missing.ended).toBe(3);
    expect(errorOf(missing)).toMatchObject({ code: 'BRANCH_NOT_FOUND' });
  });

  test('doctor sees that it runs, and that its ports are its own', { timeout: TIMEOUT_MS }, async () => {
    const { findings } = await world
      .run('doctor', '--port', new URL(ready.url).port)
      .line<{ findings: Finding[] }>();
    expect(findings.filter(({ level }) => level === 'fail')).toEqual([]);
    expect(findings.find(({ check }) => check === 'system')?.text).toMatch(/runs, and all of it answers$/);
    const ports = findings.filter(({ check }) => check.startsWith('port '));
    // Of clients, the API, the pageserver and two safekeepers.
    expect(ports.map(({ text }) => text)).toEqual(Array.from({ length: 8 }, () => 'this system has it'));
  });

  test('every metric that docs/operate.md names is there', { timeout: TIMEOUT_MS }, async () => {
    const text = readFileSync(new URL('../../docs/operate.md', import.meta.url), 'utf8');
    const names = [...text.matchAll(/`((?:safekeeper|pageserver)_[a-z_]+)`/g)].map(
      ([, name]) => name as string,
    );
    expect(names.length).toBeGreaterThan(10);
    const { safekeepers, pageserver } = JSON.parse(
      readFileSync(join(world.directory, 'system.json'), 'utf8'),
    ) as { safekeepers: { httpPort: number }[]; pageserver: { httpPort: number } };
    const answers = [pageserver, ...safekeepers].map(async ({ httpPort }) =>
      (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text(),
    );
    const metrics = (await Promise.all(answers)).join('\n');
    expect(names.filter((name) => !metrics.includes(`# TYPE ${name} `))).toEqual([]);
  });

  test('logs are followed while they are written', { timeout: TIMEOUT_MS }, async () => {
    const following = world.run('logs', '--follow', '-n', '1');
    expect(await following.line()).toEqual({ service: expect.any(String), line: expect.any(String) });
    const made = world.run('branch create', 'followed');
    expect(await made.ended).toBe(0);
    await until<{ service: string; line: string }>(
      following,
      ({ service, line }) => service === 'computes' && line.includes('The server runs'),
    );
    expect(await following.kill('SIGINT')).toBe(0);
  });

  test('a control plane’s database of one’s own', { timeout: TIMEOUT_MS }, async () => {
    await using other = await SystemWorld.make();
    const given = { VARVE_DATABASE_URL: ready.url, VARVE_TLS_CERT: '/for/others' };
    // What is set for services that somebody starts is not set for those that this one starts.
    const args = ['--port', '0', '--api-port', '0', '--safekeepers', '1'];
    const started = other.runWith(given, 'start', '--processes', ...args);
    const { url, steps } = await started.line<Ready>();
    expect(Object.keys(steps)).not.toContain('database');
    expect(await query(url, 'SELECT 2 AS a')).toEqual([{ a: 2 }]);
    expect(await query(ready.url, 'SELECT name FROM varve_control.projects')).toEqual([{ name: 'main' }]);
    expect(await started.kill('SIGTERM')).toBe(0);

    const without = other.run('start', ...args);
    expect(await without.ended).toBe(5);
    expect(errorOf(without)).toMatchObject({
      code: 'OTHER_DATABASE',
      message: expect.stringMatching(/--database-url/),
    });

    await using third = await SystemWorld.make();
    const sharing = third.runWith({ DATABASE_URL: ready.url }, 'start', ...args);
    expect(await sharing.ended).toBe(4);
    expect(errorOf(sharing)).toMatchObject({
      code: 'DATABASE_IN_USE',
      message: expect.stringMatching(/which DATABASE_URL names/),
    });
    const away = third.run('start', '--database-url', 'postgres://127.0.0.1:1/none', ...args);
    expect(await away.ended).toBe(6);
    expect(errorOf(away)).toMatchObject({
      code: 'CONTROL_DATABASE_UNAVAILABLE',
      message: expect.stringMatching(/which --database-url names/),
    });
  });

  test('a system with a database of its own passes a DATABASE_URL over', {
    timeout: TIMEOUT_MS,
  }, async () => {
    expect(await system.kill('SIGINT')).toBe(0);
    const refused = world.run('start', '--database-url', 'postgres://127.0.0.1:1/none');
    expect(await refused.ended).toBe(5);
    expect(errorOf(refused)).toMatchObject({ code: 'OTHER_DATABASE' });
    const again = world.runWith(
      { DATABASE_URL: 'postgres://127.0.0.1:1/none' },
      'start',
      '--suspend-after',
      '0s',
    );
    const { url } = await again.line<Ready>();
    expect(await query(url, 'SELECT count(*)::int AS n FROM t')).toEqual([{ n: 1000 }]);
    expect(await again.kill('SIGTERM')).toBe(0);
  });
});
