import { VarveError } from '../base/errors.ts';
import { CopyProgress } from './copy-progress.ts';
import { fillTarget } from './fill-target.ts';
import type { Doors } from './open-session.ts';
import { runPlan, type SessionPair } from './run-plan.ts';
import type { ServerUrl } from './server-url.ts';
import { SourceDatabase } from './source-database.ts';
import { TargetDatabase } from './target-database.ts';
import type { TransferEvents, TransferSummary } from './transfer-events.ts';
import { planTransfer, readDatabase } from './transfer-plan.ts';

export interface ImportOptions {
  readonly source: ServerUrl;
  readonly target: ServerUrl;
  /** Undefined: all. */
  readonly schemas: readonly string[] | undefined;
  /** Sessions of each side. More than one only into a new database. */
  readonly jobs: number;
  readonly isSkipping: boolean;
  /** Into a database that has something already. */
  readonly isIntoExisting: boolean;
  readonly signal: AbortSignal;
}

/**
 * Brings what a database holds at one moment into another: all of it, or nothing.
 * @throws as openSession and planTransfer; VarveError ‘precondition’ / SOURCE_NEWER, SOURCE_TOO_OLD, TARGET_NOT_EMPTY,
 * DATABASE_EXISTS; STATEMENT_FAILED with what the branch refused; ‘cancelled’ after the signal
 */
export async function importDatabase(
  doors: Doors,
  options: ImportOptions,
  events: TransferEvents,
): Promise<TransferSummary> {
  const { jobs, signal } = options;
  events.onStep('connecting');
  await using source = await SourceDatabase.open(doors, options.source, 'source', signal);
  const target = await TargetDatabase.find(doors, options.target, signal);
  return await fillTarget(target, signal, async (beginCommit) => {
    checkVersions(source.main.major, target.major);
    checkParallel(target, options);
    if (!options.isIntoExisting) await target.checkEmpty();
    events.onStep('reading the schema');
    const database = await readDatabase(source.main.connection, source.main.major);
    const plan = planTransfer(database, {
      schemas: options.schemas,
      isSkipping: options.isSkipping,
      roles: target.roles,
      unsupported: target.missingExtensions(database),
    });
    await target.make();
    const sources = [source.main, ...(await source.openMore(jobs - 1))];
    const pairs: SessionPair[] = [];
    for (const { connection } of sources) {
      pairs.push({ source: connection, target: (await target.open()).connection });
    }
    const [first] = pairs as [SessionPair];
    const tables = plan.entries.flatMap(({ data }) => data ?? []);
    const progress = new CopyProgress(events, tables);
    const isOne = jobs === 1;
    if (isOne) await first.target.query('BEGIN');
    await runPlan(plan, pairs as [SessionPair, ...SessionPair[]], progress, events);
    beginCommit();
    if (isOne) await first.target.query('COMMIT');
    return { tables: tables.length, rows: progress.rows, bytes: progress.bytes, notes: plan.notes };
  });
}

/** @throws VarveError ‘precondition’ / SOURCE_NEWER */
export function checkVersions(sourceMajor: number, targetMajor: number): void {
  if (sourceMajor <= targetMajor) return;
  const advice = `a project with ‘varve project create NAME --pg ${sourceMajor}’, where that is there, can take it`;
  const reason = `the source is PostgreSQL ${sourceMajor}, the branch ${targetMajor}, which does not know all that it has: ${advice}`;
  throw new VarveError('precondition', 'SOURCE_NEWER', reason);
}

/** What several sessions do is in no single transaction: it has to be possible to drop it. */
function checkParallel(target: TargetDatabase, { jobs, target: { database } }: ImportOptions): void {
  if (jobs === 1 || target.isNew) return;
  const reason = `the database ${database} is there: with --jobs, name a new one with --database, which is dropped if the import fails`;
  throw new VarveError('precondition', 'DATABASE_EXISTS', reason);
}
