import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { hydrateSymlinks } from '../../src/io/node/postgres-binaries.ts';
import { listChildren } from '../../src/io/node/process-table.ts';
import { StockPostgres } from './stock-postgres.ts';

/** A zombie, which some container's first process never collects, counts as ended. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

async function waitUntil(condition: () => boolean, timeoutMs: number): Promise<boolean> {
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; ) {
    if (condition()) return true;
    await delay(10);
  }
  return condition();
}

describe('StockPostgres', { timeout: 60_000 }, () => {
  test('starts, answers, stops, crashes and comes back', async () => {
    await using server = await StockPostgres.create({
      major: 17,
      settings: { fsync: false, work_mem: '5MB' },
    });
    await server.start();
    expect(await server.query('SHOW work_mem')).toEqual([{ work_mem: '5MB' }]);
    await server.query('CREATE TABLE t AS SELECT generate_series(1, 1000) AS i');
    await server.stop('smart');
    expect(server.isRunning).toBe(false);

    await server.changeSettings({ work_mem: '6MB' });
    await server.start();
    expect(await server.query('SHOW work_mem')).toEqual([{ work_mem: '6MB' }]);
    await server.query('INSERT INTO t VALUES (0)');
    const children = listChildren(server.pid).map(({ pid }) => pid);
    expect(children.length).toBeGreaterThan(3);
    await server.crash();
    expect(children.filter(isAlive)).toEqual([]);

    await server.start();
    expect(await server.query('SELECT count(*)::int AS n FROM t')).toEqual([{ n: 1001 }]);
    await server.stop('immediate');
    await server.start();
    expect((await server.log()).match(/automatic recovery in progress/g)).toHaveLength(2);
    await server.stop('fast');
    await server.stop('fast');
  });

  test('listens on TCP with a password, on the socket without', async () => {
    await using server = await StockPostgres.create({ major: 17 });
    await server.start();
    const environment = server.clientEnvironment();
    const overTcp = { host: environment.PGHOST, port: Number(environment.PGPORT) };
    const client = await server.connect({ ...overTcp, password: environment.PGPASSWORD });
    expect((await client.query('SELECT inet_server_addr()::text AS a')).rows).toEqual([
      { a: '127.0.0.1/32' },
    ]);
    await client.end();
    await expect(server.connect({ ...overTcp, password: 'wrong' })).rejects.toThrow(
      /password authentication failed/,
    );
  });

  test('never runs as root, and dispose leaves nothing', async () => {
    const server = await StockPostgres.create({
      major: 17,
      segmentSizeMiB: 1,
      initdbArguments: ['--data-checksums'],
    });
    await server.start();
    const status = await readFile(`/proc/${server.pid}/status`, 'utf8');
    expect(status).toMatch(new RegExp(`^Uid:\\s+${server.account.uid}\\s`, 'm'));
    expect(server.account.uid).not.toBe(0);
    expect(await server.query('SHOW wal_segment_size')).toEqual([{ wal_segment_size: '1MB' }]);
    expect(await server.query('SHOW data_checksums')).toEqual([{ data_checksums: 'on' }]);
    const { pid, rootDirectory } = server;
    await server.dispose();
    await server.dispose();
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(rootDirectory)).toBe(false);
    await expect(server.start()).rejects.toThrow(/disposed/);
  });

  test('a failed start names the reason', async () => {
    await using server = await StockPostgres.create({ major: 17, settings: { shared_buffers: 'nonsense' } });
    await expect(server.start()).rejects.toThrow(/invalid value for parameter "shared_buffers"/);
    expect(server.isRunning).toBe(false);
  });

  test('a cluster of its own has another system identifier than a copy of the template', async () => {
    await using first = await StockPostgres.create({ major: 17 });
    await using second = await StockPostgres.create({ major: 17, ownSystemIdentifier: true });
    const identifiers = [first, second].map(async (server) => {
      const control = await readFile(join(server.dataDirectory, 'global', 'pg_control'));
      return control.readBigUInt64LE(0);
    });
    expect(await identifiers[0]).not.toBe(await identifiers[1]);
  });

  test('serves an existing data directory and leaves it in place', async () => {
    await using first = await StockPostgres.create({ major: 17 });
    await using second = await StockPostgres.create({ major: 17, dataDirectory: first.dataDirectory });
    await second.start();
    await second.query('SELECT 1');
    await second.dispose();
    expect(existsSync(join(first.dataDirectory, 'PG_VERSION'))).toBe(true);
  });

  test('a killed owner takes the server and its directory along', async () => {
    const program = `
      import { StockPostgres } from '${import.meta.dirname}/stock-postgres.ts';
      const server = await StockPostgres.create({ major: 17 });
      await server.start();
      console.log(JSON.stringify({ pid: server.pid, root: server.rootDirectory }));
      await server.query('SELECT pg_sleep(600)');
    `;
    const owner = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line = await new Promise<string>((resolve, reject) => {
      owner.stdout.setEncoding('utf8').once('data', resolve);
      owner.once('exit', () => reject(new Error('the owner ended early')));
    });
    const { pid, root } = JSON.parse(line) as { pid: number; root: string };
    const backends = listChildren(pid).map((child) => child.pid);
    expect(isAlive(pid)).toBe(true);
    owner.kill('SIGKILL');
    expect(await waitUntil(() => ![pid, ...backends].some(isAlive) && !existsSync(root), 20_000)).toBe(true);
  });
});

describe('hydrateSymlinks', () => {
  test('makes what is missing, at once from many sides, and refuses to leave the package', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'varve-links-'));
    try {
      await mkdir(join(directory, 'native', 'lib'), { recursive: true });
      const listing = join(directory, 'native', 'pg-symlinks.json');
      const entries = ['a', 'b'].map((name) => ({
        source: 'native/lib/lib.so.1',
        target: `native/lib/${name}`,
      }));
      await writeFile(listing, JSON.stringify(entries));
      await symlink('lib.so.1', join(directory, 'native', 'lib', 'a'));
      await Promise.all(Array.from({ length: 8 }, () => hydrateSymlinks(directory)));
      expect(await readlink(join(directory, 'native', 'lib', 'b'))).toBe('lib.so.1');
      await writeFile(listing, JSON.stringify([{ source: 'native/lib/lib.so.1', target: '../outside' }]));
      await expect(hydrateSymlinks(directory)).rejects.toThrow(/leaves its directory/);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});
