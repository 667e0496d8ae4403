import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StockPostgres } from '../support/stock-postgres.ts';
import { query, type Ready, SystemWorld } from '../system/system-world.ts';

const BIN = fileURLToPath(new URL('../../bin/varve', import.meta.url));
const TIMEOUT_MS = 120_000;

describe('databases into a branch and out of it, by the command line', () => {
  let world: SystemWorld;
  let source: StockPostgres;
  let ready: Ready;
  let at: readonly string[];
  let scratch: string;

  beforeAll(async () => {
    world = await SystemWorld.make();
    source = await StockPostgres.create({ major: 17, settings: { fsync: false } });
    scratch = await mkdtemp(join(tmpdir(), 'varve-import-'));
    const started = world.start('--api-port', '0', '--suspend-after', '0s');
    await source.start();
    await source.query(`CREATE TABLE "or ders" (id int PRIMARY KEY, note text, raw bytea)`);
    await source.query(
      `INSERT INTO "or ders" SELECT i, E'a\\\\\\n' || i, decode('00ff', 'hex') FROM generate_series(1, 20000) i`,
    );
    await source.query(
      'CREATE SCHEMA other; CREATE VIEW other.v AS SELECT count(*) AS n FROM public."or ders"',
    );
    ({ ready } = await started);
    at = ['--dir', world.directory];
  }, TIMEOUT_MS);

  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await source?.dispose();
    if (scratch !== undefined) await rm(scratch, { recursive: true });
  });

  async function varve(args: readonly string[], more: { path?: string; input?: Uint8Array } = {}) {
    // A pg_dump of this machine's is none of these tests'.
    const child = spawn(process.execPath, [BIN, ...args, ...at], {
      env: { ...process.env, PATH: more.path ?? scratch },
    });
    child.stdin.on('error', () => undefined).end(more.input ?? '');
    const [output, errors, [status]] = await Promise.all([
      readText(child.stdout),
      readText(child.stderr),
      once(child, 'close'),
    ]);
    return { status, output, errors };
  }

  async function errorOf(
    args: readonly string[],
  ): Promise<{ status: unknown; code: string; message: string }> {
    const { status, output, errors } = await varve([...args, '--json']);
    expect(output).toBe('');
    const { code, message } = JSON.parse(errors).error;
    return { status, code, message };
  }

  const urlOf = (database: string): string => ready.url.replace(/\/postgres$/, `/${database}`);
  const SUM = `SELECT count(*)::int AS n, md5(string_agg(o::text, ',' ORDER BY id)) AS sum FROM "or ders" o`;

  test('from a server, to a file, and back from it', { timeout: TIMEOUT_MS }, async () => {
    const from = ['--from', source.connectionString()];
    const imported = await varve(['import', ...from]);
    expect(imported).toMatchObject({ status: 0, errors: '' });
    expect(imported.output).toMatch(
      /^imported 1 tables, 20000 rows \(.* KiB\) into the database postgres\n$/,
    );
    const expected = await source.query(SUM);
    expect(await query(ready.url, SUM)).toEqual(expected);
    expect(await query(ready.url, 'SELECT n::int FROM other.v')).toEqual([{ n: 20_000 }]);

    const again = await errorOf(['import', ...from]);
    expect(again).toMatchObject({ status: 5, code: 'TARGET_NOT_EMPTY' });
    const file = join(scratch, 'dump.sql');
    const written = await varve(['export', '--to', file, '--json']);
    expect(JSON.parse(written.output)).toMatchObject({
      exported: { to: file, tables: 1, rows: 20_000, notes: [] },
    });
    expect(await errorOf(['export', '--to', file])).toMatchObject({ status: 4, code: 'FILE_EXISTS' });
    const { output } = await varve(['export', '--to', '-']);
    expect(output).toBe(await readFile(file, 'utf8'));

    const loaded = await varve(['import', '--from-file', file, '--database', 'copy', '--json']);
    expect(JSON.parse(loaded.output)).toMatchObject({
      imported: { database: 'copy', tables: 1, rows: 20_000 },
    });
    expect(await query(urlOf('copy'), SUM)).toEqual(expected);
    const piped = await varve(['import', '--from-file', '-', '--database', 'piped'], {
      input: Buffer.from(output),
    });
    expect(piped.status).toBe(0);
    expect(await query(urlOf('piped'), SUM)).toEqual(expected);
    const parallel = await varve(['import', ...from, '--database', 'parallel', '--jobs', '2']);
    expect(parallel.status).toBe(0);
    expect(await query(urlOf('parallel'), SUM)).toEqual(expected);
  });

  test('by pg_dump, where it is there and fits', { timeout: TIMEOUT_MS }, async () => {
    const directory = await mkdtemp(join(scratch, 'bin-'));
    const program = join(directory, 'pg_dump');
    const makeProgram = async (major: number, body: string): Promise<void> => {
      await writeFile(
        program,
        `#!/bin/sh\nif [ "$1" = --version ]; then echo "pg_dump (PostgreSQL) ${major}.1"; exit; fi\n${body}\n`,
      );
      await chmod(program, 0o755);
    };
    const dump = String.raw`printf '%s\n' '-- PostgreSQL database dump' '' '\restrict abc' 'CREATE TABLE public.d (a text);' \
      'ALTER TABLE public.d OWNER TO "no body";' 'COPY public.d (a) FROM stdin;' "$PGHOST $PGPORT $PGUSER $PGDATABASE $*" '\.' \
      "INSERT INTO public.d VALUES (';');"`;
    const path = `${directory}:/usr/bin:/bin`;
    const from = ['import', '--from', source.connectionString()];
    await makeProgram(17, `${dump} '\\unrestrict abc' '-- PostgreSQL database dump complete'`);
    const dumped = await varve([...from, '--database', 'dumped', '--schema', 'o"ther'], { path });
    expect(dumped.status).toBe(0);
    expect(dumped.errors).toMatch(
      /by .*pg_dump\nleft out: ALTER TABLE public.d OWNER TO "no body" \(role "no body" does not exist\)\n/,
    );
    const port = new URL(source.connectionString()).port;
    const said = `127.0.0.1 ${port} postgres postgres --format=plain --encoding=UTF8 --no-tablespaces --no-password --schema="o""ther"`;
    expect(await query(urlOf('dumped'), 'SELECT a FROM d ORDER BY a')).toEqual([{ a: said }, { a: ';' }]);

    await makeProgram(17, `${dump}; echo "it broke" >&2; exit 1`);
    const broken = await varve([...from, '--database', 'broken'], { path });
    expect(broken).toMatchObject({
      status: 6,
      errors: expect.stringContaining('pg_dump has failed: it broke'),
    });
    // One that does not fit is passed over, unless it was asked for.
    await makeProgram(12, 'exit 1');
    expect(await varve([...from, '--database', 'own'], { path })).toMatchObject({ status: 0, errors: '' });
    const asked = await errorOf([...from, '--database', 'asked', '--pg-dump', program]);
    expect(asked).toMatchObject({ status: 5, code: 'PG_DUMP_VERSION' });
    const databases = await query(
      ready.url,
      "SELECT datname FROM pg_database WHERE datname IN ('broken', 'asked', 'own')",
    );
    expect(databases).toEqual([{ datname: 'own' }]);
  });

  test('Ctrl-C leaves the branch as it was', { timeout: TIMEOUT_MS }, async () => {
    await source.query('CREATE DATABASE endless');
    const client = await source.connect('endless');
    // A row that never comes: its table is locked.
    await client.query('CREATE TABLE first (a int); CREATE TABLE held (a int); INSERT INTO first VALUES (1)');
    await client.query('BEGIN; LOCK TABLE held');
    try {
      const url = source.connectionString('endless');
      const child = spawn(process.execPath, [BIN, 'import', '--from', url, '--database', 'gone', ...at]);
      const errors = readText(child.stderr);
      const waiting = `SELECT 1 FROM pg_stat_activity WHERE application_name = 'varve transfer' AND wait_event_type = 'Lock'`;
      while ((await source.query(waiting)).length === 0)
        await new Promise((resolve) => setTimeout(resolve, 20));
      child.kill('SIGINT');
      expect(await once(child, 'close')).toEqual([130, null]);
      expect(await errors).toContain('the branch is as it was before');
      expect(await query(ready.url, "SELECT 1 FROM pg_database WHERE datname = 'gone'")).toEqual([]);
    } finally {
      await client.end();
    }
  });

  test('what cannot be is refused with a code', { timeout: TIMEOUT_MS }, async () => {
    const from = ['import', '--from', source.connectionString()];
    const script = join(scratch, 'bad.sql');
    await writeFile(script, 'CREATE TABLE t (a int);\n\\connect other\n');
    const refusals: [readonly string[], number, string][] = [
      [['import'], 2, 'MISSING_ARGUMENT'],
      [['import', '--from', 'mysql://host/db'], 2, 'BAD_URL'],
      [['import', '--from', 'postgres://127.0.0.1:1/d'], 6, 'SERVER_UNREACHABLE'],
      [['import', '--from', source.connectionString().replace(/:[^:@]*@/, ':wrong@')], 2, 'LOGIN_REFUSED'],
      [[...from, '--jobs', '99'], 2, 'INVALID_ARGUMENT'],
      [[...from, '--jobs', '2'], 5, 'DATABASE_EXISTS'],
      [[...from, '--branch', 'nobody'], 3, 'BRANCH_NOT_FOUND'],
      [[...from, '--database', 'n', '--schema', 'nowhere'], 2, 'SCHEMA_NOT_FOUND'],
      [[...from, '--pg-dump', join(scratch, 'none')], 5, 'PROGRAM_NOT_STARTED'],
      [[...from, '--from-file', script], 2, 'CONFLICTING_OPTIONS'],
      [['import', '--from-file', join(scratch, 'none')], 3, 'FILE_NOT_FOUND'],
      [['import', '--from-file', script, '--database', 'n'], 2, 'PSQL_COMMAND'],
      [['export'], 2, 'MISSING_ARGUMENT'],
      [['export', '--to', '-'], 2, 'CONFLICTING_OPTIONS'],
      [['export', '--to', join(scratch, 'x.sql'), '--database', 'nowhere'], 3, 'DATABASE_NOT_FOUND'],
    ];
    const waiting = refusals.values();
    const judge = async (): Promise<void> => {
      for (const [args, status, code] of waiting) {
        const refused = await errorOf(args);
        expect([args, refused.status, refused.code]).toEqual([args, status, code]);
      }
    };
    await Promise.all([judge(), judge()]);
    expect(await query(ready.url, "SELECT 1 FROM pg_database WHERE datname = 'n'")).toEqual([]);
    expect(await readdir(scratch)).not.toContain('x.sql.partial');
  });
});
