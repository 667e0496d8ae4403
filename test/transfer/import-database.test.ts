import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exportDatabase } from '../../src/transfer/export-database.ts';
import { fillTarget } from '../../src/transfer/fill-target.ts';
import { checkVersions, importDatabase } from '../../src/transfer/import-database.ts';
import { loadScript } from '../../src/transfer/load-script.ts';
import { TargetDatabase } from '../../src/transfer/target-database.ts';
import { differenceOf } from './compare-databases.ts';
import { doors, NO_EVENTS, runAll, TransferWorld } from './transfer-world.ts';

const TIMEOUT_MS = 120_000;

describe('databases between two servers', () => {
  let world: TransferWorld;

  beforeAll(async () => {
    world = await TransferWorld.make();
  }, TIMEOUT_MS);

  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  /** Fails, and leaves the target as it was. */
  async function refused(
    more: Parameters<TransferWorld['options']>[1],
    code: string,
    words: RegExp,
  ): Promise<void> {
    const before = await world.databases();
    const importing = importDatabase(doors, world.options('refused', more), NO_EVENTS);
    await expect(importing).rejects.toMatchObject({ code, message: expect.stringMatching(words) });
    expect(await world.databases()).toEqual(before);
  }

  test('something of every kind comes over as it is', { timeout: TIMEOUT_MS }, async () => {
    const parts: number[] = [];
    const onCopied = ({ part }: { readonly part: number | undefined }): void => void parts.push(part ?? -1);
    const summary = await importDatabase(doors, world.options('shop'), { ...NO_EVENTS, onCopied });
    expect(summary.notes).toEqual([]);
    expect(summary.rows).toBeGreaterThan(3000);
    expect(parts.toSorted((left, right) => left - right)).toEqual(parts);
    expect(await differenceOf(world.source, world.target, 'shop')).toBeUndefined();
  });

  test('by several sessions it is the same', { timeout: TIMEOUT_MS }, async () => {
    await importDatabase(doors, world.options('parallel', { jobs: 3 }), NO_EVENTS);
    expect(await differenceOf(world.source, world.target, 'shop', 'parallel')).toBeUndefined();
  });

  test('what is written as a script comes back from it', { timeout: TIMEOUT_MS }, async () => {
    const chunks: Uint8Array[] = [];
    const signal = new AbortController().signal;
    const choice = { server: world.sourceUrl(), schemas: undefined, isSkipping: false, signal };
    const write = async (bytes: Uint8Array): Promise<void> => void chunks.push(bytes);
    const { rows, bytes } = await exportDatabase(doors, choice, write, NO_EVENTS);
    const script = Buffer.concat(chunks);
    const load = async (database: string, pieces: Iterable<Uint8Array>) => {
      const target = await TargetDatabase.find(doors, world.targetUrl(database), signal);
      return fillTarget(target, signal, async () => {
        await target.make();
        const { connection } = await target.open();
        await connection.query('BEGIN');
        const summary = await loadScript(asAsync(pieces), script.length, connection, NO_EVENTS);
        await connection.query('COMMIT');
        return summary;
      });
    };
    // Of a length that cuts everything somewhere.
    const summary = await load('script', cut(script, 1009));
    expect(summary).toMatchObject({ rows, bytes, notes: [] });
    expect(await differenceOf(world.source, world.target, 'shop', 'script')).toBeUndefined();

    const half = script.subarray(0, script.length - 30);
    await expect(load('half', [half])).rejects.toMatchObject({ code: 'TRUNCATED_SCRIPT' });
    expect(await world.databases()).not.toContain('half');
  });

  test('single schemas come with what they need, and are refused without it', {
    timeout: TIMEOUT_MS,
  }, async () => {
    await refused({ schemas: ['public'] }, 'SCHEMA_INCOMPLETE', /needs .*--schema (sch ema|größe|ext)/);
    await refused({ schemas: ['nowhere'] }, 'SCHEMA_NOT_FOUND', /nowhere/);
    await world.source.query('CREATE DATABASE apart');
    await runAll(world.source, 'apart', [
      'CREATE SCHEMA a; CREATE SCHEMA b; CREATE EXTENSION citext SCHEMA public',
      'CREATE TABLE a.t (x public.citext); INSERT INTO a.t VALUES (1); CREATE TABLE b.t (x int)',
    ]);
    const source = world.sourceUrl('apart');
    await importDatabase(doors, world.options('apart', { source, schemas: ['a'] }), NO_EVENTS);
    const relations = await world.target.query(
      `SELECT relname, relnamespace::regnamespace::text AS schema FROM pg_class WHERE relkind = 'r' AND oid >= 16384`,
      [],
      'apart',
    );
    expect(relations).toEqual([{ relname: 't', schema: 'a' }]);
  });

  test('what cannot be carried is named, or left out with what needs it', {
    timeout: TIMEOUT_MS,
  }, async () => {
    await world.source.query('CREATE DATABASE strange');
    await runAll(world.source, 'strange', [
      'CREATE EXTENSION postgres_fdw; CREATE SERVER "far away" FOREIGN DATA WRAPPER postgres_fdw',
      'CREATE FOREIGN TABLE remote (a int) SERVER "far away"; CREATE VIEW of_remote AS SELECT a FROM remote',
      'CREATE VIEW of_view AS SELECT a FROM of_remote; SELECT lo_create(0)',
      "CREATE FUNCTION native(int4, int4) RETURNS int4 LANGUAGE c AS '$libdir/btree_gist', 'int4_dist'",
      'CREATE TABLE t (a int DEFAULT native(1, 2), b int DEFAULT 5); INSERT INTO t VALUES (1)',
      'ALTER TABLE t OWNER TO "nobody here"; GRANT SELECT ON t TO "nobody here"; ALTER TABLE t ENABLE ROW LEVEL SECURITY',
      'CREATE POLICY "for one" ON t TO "nobody here" USING (true)',
    ]);
    const source = world.sourceUrl('strange');
    const names = [
      'foreign table public.remote',
      'foreign server "far away"',
      'large objects: 1',
      'function public.native(integer,integer) in the C library',
      'policy "for one" on public.t, for the role nobody here',
      'view public.of_view, which needs view public.of_remote',
    ];
    for (const name of names) {
      await refused({ source }, 'UNSUPPORTED_OBJECTS', new RegExp(name.replaceAll(/[()."]/g, '\\$&')));
    }
    const { notes } = await importDatabase(
      doors,
      world.options('strange', { source, isSkipping: true }),
      NO_EVENTS,
    );
    for (const name of names) expect(notes.join('\n')).toContain(`left out: ${name}`);
    expect(notes.join('\n')).toContain('the branch has no role nobody here');
    const [row] = await world.target.query('INSERT INTO t DEFAULT VALUES RETURNING a, b', [], 'strange');
    expect(row).toEqual({ a: null, b: 5 });
  });

  test('a database that has something is not touched', { timeout: TIMEOUT_MS }, async () => {
    await world.target.query('CREATE DATABASE taken');
    await runAll(world.target, 'taken', ['CREATE TABLE mine (a int)', 'CREATE SCHEMA "sch ema"']);
    const taken = world.targetUrl('taken');
    await refused({ target: taken }, 'TARGET_NOT_EMPTY', /public\.mine.*--into-existing/s);
    await refused({ target: taken, jobs: 2 }, 'DATABASE_EXISTS', /--database/);
    // What is there already stands in the way, and all that was made before that goes.
    await refused(
      { target: taken, isIntoExisting: true },
      'STATEMENT_FAILED',
      /schema "sch ema": .*already exists/,
    );
    const left = await world.target.query('SELECT relname FROM pg_class WHERE oid >= 16384', [], 'taken');
    expect(left).toEqual([{ relname: 'mine' }]);
    await runAll(world.target, 'taken', ['DROP SCHEMA "sch ema"']);
    await importDatabase(doors, world.options('taken', { isIntoExisting: true }), NO_EVENTS);
    expect(await world.target.query('SELECT count(*)::int AS n FROM "Orders"', [], 'taken')).toEqual([
      { n: 60 },
    ]);
  });

  test('given up in a database that was there', { timeout: TIMEOUT_MS }, async () => {
    await world.target.query('CREATE DATABASE vacant');
    const giveUp = new AbortController();
    const onStep = (step: string): void => {
      if (step === 'building indexes') giveUp.abort();
    };
    const options = world.options('vacant', { signal: giveUp.signal });
    await expect(importDatabase(doors, options, { ...NO_EVENTS, onStep })).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    const made = "SELECT relname FROM pg_class WHERE oid >= 16384 AND relkind <> 't'";
    expect(await world.target.query(made, [], 'vacant')).toEqual([]);
    await importDatabase(doors, world.options('vacant'), NO_EVENTS);
  });

  test('a source that is newer is refused', () => {
    expect(() => checkVersions(18, 17)).toThrow(/PostgreSQL 18, the branch 17/);
    expect(() => checkVersions(14, 17)).not.toThrow();
  });

  test.each([1, 3])(
    'given up while rows are copied, by %d sessions',
    { timeout: TIMEOUT_MS },
    async (jobs) => {
      const before = await world.databases();
      const giveUp = new AbortController();
      const onCopied = (): void => giveUp.abort();
      const options = world.options('given up', { jobs, signal: giveUp.signal });
      await expect(importDatabase(doors, options, { ...NO_EVENTS, onCopied })).rejects.toMatchObject({
        code: 'CANCELLED',
        kind: 'cancelled',
      });
      expect(await world.databases()).toEqual(before);
      const sessions = await world.target.query(
        `SELECT 1 FROM pg_stat_activity WHERE application_name = 'varve transfer'`,
      );
      expect(sessions).toEqual([]);
    },
  );

  test('a server that cannot be read is named, with what to do', { timeout: TIMEOUT_MS }, async () => {
    const right = world.sourceUrl();
    await refused(
      { source: { ...right, password: 'wrong' } },
      'LOGIN_REFUSED',
      /password authentication failed/,
    );
    await refused({ source: { ...right, password: undefined } }, 'LOGIN_REFUSED', /PGPASSWORD/);
    await refused({ source: { ...right, database: 'nowhere' } }, 'DATABASE_NOT_FOUND', /nowhere/);
    await refused({ source: { ...right, sslMode: 'require' } }, 'TLS_REFUSED', /sslmode/);
    const nobody = { ...right, address: { host: '127.0.0.1', port: 1 } };
    await refused({ source: nobody }, 'SERVER_UNREACHABLE', /is it the right address/);
  });
});

function* cut(bytes: Uint8Array, length: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

async function* asAsync(chunks: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* chunks;
}
