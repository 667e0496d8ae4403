import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseTimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { streamBackup } from '../../src/pageserver/backup/stream-backup.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { type CanonicalDump, canonicalDump, firstDifference } from '../support/canonical-dump.ts';
import { checkRelations } from '../support/check-relations.ts';
import { initializePgbench, runPgbench } from '../support/pgbench.ts';
import { RestoredServer, recoveredServer, unpackTar } from '../support/restored-server.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { feedWal, MAIN, StorageWorld } from '../support/storage-world.ts';
import { type BackupWorkload, type ChosenMoment, runBackupWorkload } from './backup-workload.ts';
import { CONTEXT, collectBytes, FULL } from './backup-world.ts';

const BRANCH = parseTimelineId('3'.repeat(32));
const TWIG = parseTimelineId('4'.repeat(32));
/** So that history is in many layers, merged ones and images too. */
const SETTINGS = { historyBytes: 2 ** 50, openLayerBytes: 16e6, targetBytes: 8e6, compactionThreshold: 3 };
const TIMEOUT_MS = 300_000;

let server: StockPostgres;
let workload: BackupWorkload;
let world: StorageWorld;
let main: ActiveTimeline;

beforeAll(async () => {
  server = await StockPostgres.create({ major: 17, initdbArguments: ['--data-checksums'] });
  workload = await runBackupWorkload({ server, seconds: 4, seed: 31 });
  world = await StorageWorld.open({ settings: SETTINGS });
  const tenant = await world.storage.attach(world.tenantId);
  const directory = workload.initialDirectory;
  main = await tenant.createTimeline(MAIN, { files: nodeFiles, directory, version: POSTGRES_17 });
  await feedWal(main, workload.walDirectory);
  expect(main.timeline.poisonedRecords).toBe(0);
}, TIMEOUT_MS);
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  await server?.dispose();
});

/** A server on a full backup, which has been started. */
async function restore(active: ActiveTimeline, lsn?: Lsn): Promise<RestoredServer> {
  const restored = await RestoredServer.create(async (directory) => {
    await unpackTar(streamBackup(active, { ...FULL, lsn }, CONTEXT), directory);
  });
  await restored.server.start();
  // Nothing had to be recovered.
  const log = await restored.server.log();
  expect(log).toContain('database system was shut down at');
  expect(log).not.toMatch(/redo starts|PANIC|FATAL|ERROR|WARNING/);
  return restored;
}

/** What PostgreSQL's own recovery gives at the same LSN. */
async function recover(lsn: Lsn): Promise<RestoredServer> {
  const { initialDirectory, walDirectory } = workload;
  const recovered = await recoveredServer({ initialDirectory, walDirectory, lsn });
  await recovered.server.start();
  expect(await recovered.server.log()).toContain('recovery stopping before WAL location');
  return recovered;
}

/** With the rows of the system catalogs. */
const dump = (of: StockPostgres): Promise<CanonicalDump> => canonicalDump(of, { withCatalogRows: true });

/** Nothing may be prepared any more that keeps others from reading. */
async function checkSound(of: StockPostgres): Promise<void> {
  const databases = await of.query<{ datname: string }>(
    "SELECT datname FROM pg_database WHERE datallowconn AND datname !~ '^template'",
  );
  for (const { datname } of databases) {
    const { heaps, indexes, problems } = await checkRelations(of, datname);
    expect(problems).toEqual([]);
    expect(Math.min(heaps, indexes)).toBeGreaterThan(100);
  }
}

/** Ends half of what is prepared each way. */
async function endPrepared(of: StockPostgres): Promise<number> {
  const prepared = await of.query<{ gid: string; database: string }>(
    'SELECT gid, database FROM pg_prepared_xacts ORDER BY gid',
  );
  for (const [index, { gid, database }] of prepared.entries()) {
    await of.query(`${index % 2 === 0 ? 'COMMIT' : 'ROLLBACK'} PREPARED '${gid}'`, [], database);
  }
  return prepared.length;
}

/** Two moments at which much was under way, and a record somewhere between. */
async function chooseLsns(): Promise<{ lsn: Lsn; moment: ChosenMoment | undefined }[]> {
  const busy = workload.moments.filter(({ prepared }) => prepared >= 3);
  const [early, late] = [busy.at(1), busy.at(-2)];
  if (early === undefined || late === undefined || early === late) throw new Error('nothing was under way');
  const between = early.lsn + Math.floor((late.lsn - early.lsn) * 0.6);
  const chosen = [
    { lsn: early.lsn, moment: early },
    { lsn: between, moment: undefined },
    { lsn: late.lsn, moment: late },
  ];
  return await Promise.all(
    chosen.map(async ({ lsn, moment }) => {
      const record = await main.reads.recordBefore(lsn as Lsn, CONTEXT);
      return { lsn: record!.endLsn, moment };
    }),
  );
}

test('a full backup of a busy server starts, is sound, and holds what PostgreSQL’s own recovery gives', {
  timeout: TIMEOUT_MS,
}, async () => {
  for (const { lsn, moment } of await chooseLsns()) {
    await using restored = await restore(main, lsn);
    await using recovered = await recover(lsn);
    expect(firstDifference(await dump(restored.server), await dump(recovered.server))).toBeUndefined();
    if (moment !== undefined) {
      const text = `SELECT count(*)::int AS n FROM under_way WHERE round = ${moment.roundUnderWay}`;
      expect(await restored.server.query(text)).toEqual([{ n: 0 }]);
      const made = `SELECT to_regclass('made_in_${moment.roundUnderWay}') AS made`;
      expect(await restored.server.query(made)).toEqual([{ made: null }]);
    }
    const ended = await endPrepared(restored.server);
    expect(await endPrepared(recovered.server)).toBe(ended);
    if (moment !== undefined) expect(ended).toBeGreaterThan(1);
    expect(firstDifference(await dump(restored.server), await dump(recovered.server))).toBeUndefined();
    await checkSound(restored.server);
    // What it writes from here on can be recovered by itself.
    await restored.server.query('CREATE TABLE afterwards AS SELECT generate_series(1, 1000) AS i');
    await restored.server.crash();
    await restored.server.start();
    expect(await restored.server.query('SELECT sum(i)::int AS s FROM afterwards')).toEqual([{ s: 500_500 }]);
    await checkSound(restored.server);
  }
});

/** By how many numbers each sequence has come further in one dump than in the other. */
function stepsAhead(ours: CanonicalDump, theirs: CanonicalDump): [sequence: string, steps: number][] {
  const valuesOf = (all: CanonicalDump): [string, number, number][] =>
    all.filter(isOfSequences).flatMap(({ title, lines }) =>
      lines.map((line): [string, number, number] => {
        const row = JSON.parse(line) as unknown[];
        return [`${title} ${row[0]}`, Number(row[3]), Number(row.at(-1))];
      }),
    );
  const others = new Map(valuesOf(theirs).map(([name, , value]) => [name, value]));
  return valuesOf(ours).map(([name, increment, value]) => {
    return [name, (value - (others.get(name) ?? Number.NaN)) / increment];
  });
}

const isOfSequences = ({ title }: CanonicalDump[number]): boolean => title.endsWith(': sequences');

test('at the end of the log it holds what the server holds that wrote it', {
  timeout: TIMEOUT_MS,
}, async () => {
  await using restored = await restore(main);
  await server.changeSettings({ autovacuum: false });
  await server.start();
  // Or it would still have what WAL does not tell of: the rows of unlogged tables.
  await server.crash();
  await server.start();
  const [ours, theirs] = [await dump(restored.server), await dump(server)];
  await server.stop();
  const rest = (all: CanonicalDump): CanonicalDump => all.filter((section) => !isOfSequences(section));
  expect(firstDifference(rest(ours), rest(theirs))).toBeUndefined();
  // WAL tells of numbers before they are given out (sequence.c, SEQ_LOG_VALS), and of those that a session has cached.
  // One that was made unlogged and logged again gives out numbers of which WAL knows nothing: a stock server that crashes
  // forgets them too (SequenceChangePersistence keeps log_cnt).
  const steps = stepsAhead(ours, theirs).filter(([name]) => !name.endsWith('.counter'));
  expect(steps.length).toBeGreaterThan(0);
  expect(steps.filter(([, ahead]) => !(ahead >= 0 && ahead <= 32 + 20))).toEqual([]);
  await endPrepared(restored.server);
  await checkSound(restored.server);
});

test('a branch goes on from a backup, and is backed up itself', { timeout: TIMEOUT_MS }, async () => {
  const lsn = (await chooseLsns())[0]!.lsn;
  const branch = await world.tenant.createBranch(BRANCH, MAIN, lsn);
  expect(branch.timeline.initialLsn).toBe(lsn);
  // Where it begins, all is its ancestor's.
  const own = await collectBytes(streamBackup(branch, FULL, CONTEXT));
  const parents = await collectBytes(streamBackup(main, { ...FULL, lsn }, CONTEXT));
  expect(Buffer.compare(own, parents)).toBe(0);
  await using first = await restore(branch);
  await endPrepared(first.server);
  await initializePgbench(first.server, { scale: 1 });
  await runPgbench(first.server, { scale: 1, clients: 2, transactions: 200 });
  await first.server.query(
    "CREATE TABLE on_branch AS SELECT i, repeat('b', 500) FROM generate_series(1, 5000) i",
  );
  await first.server.query("BEGIN; INSERT INTO on_branch VALUES (-1); PREPARE TRANSACTION 'on branch'");
  const expected = await dump(first.server);
  await first.server.stop();
  // Its log joins the one before, record by record.
  await feedWal(branch, join(first.server.dataDirectory, 'pg_wal'));
  expect(branch.timeline.poisonedRecords).toBe(0);
  expect(branch.timeline.lastRecordLsn).toBeGreaterThan(lsn + 10e6);
  await using second = await restore(branch);
  expect(firstDifference(await dump(second.server), expected)).toBeUndefined();
  await checkSound(second.server);
  // Through two ancestors, at an LSN of the one between, and the parent's own history beside it.
  const twigLsn = (await branch.reads.recordBefore((lsn + 4e6) as Lsn, CONTEXT))!.endLsn;
  const twig = await world.tenant.createBranch(TWIG, BRANCH, twigLsn);
  await branch.timeline.flush();
  await branch.upkeep.settled();
  const ofTwig = await collectBytes(streamBackup(twig, FULL, CONTEXT));
  const ofBranch = await collectBytes(streamBackup(branch, { ...FULL, lsn: twigLsn }, CONTEXT));
  expect(Buffer.compare(ofTwig, ofBranch)).toBe(0);
  expect(Buffer.compare(await collectBytes(streamBackup(main, { ...FULL, lsn }, CONTEXT)), parents)).toBe(0);
  const below = streamBackup(branch, { ...FULL, lsn: (lsn - 8) as Lsn }, CONTEXT);
  await expect(collectBytes(below)).rejects.toMatchObject({ code: 'LSN_BELOW_CUTOFF' });
});
