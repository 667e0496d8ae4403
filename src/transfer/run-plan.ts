import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { closingSql } from './closing-sql.ts';
import type { CopyProgress } from './copy-progress.ts';
import { copyTable, failedAt } from './copy-table.ts';
import { type ClosingStatement, nameOf, type SchemaEntry } from './schema-entry.ts';
import type { TransferEvents } from './transfer-events.ts';
import type { TransferPlan } from './transfer-plan.ts';

/** Two ends that work at the same time as other pairs, on the same snapshot of the source. */
export interface SessionPair {
  readonly source: ClientConnection;
  readonly target: ClientConnection;
}

/** What is being done, by the kind of what is made. */
const STEPS: Readonly<Partial<Record<SchemaEntry['kind'], string>>> = {
  data: 'copying rows',
  'sequence value': 'setting sequences',
  index: 'building indexes',
  key: 'building indexes',
  'check constraint': 'checking constraints',
  'foreign key': 'checking foreign keys',
  refresh: 'refreshing materialized views',
};

/**
 * Makes all of a plan in a database.
 * @param pairs at least one. The first does what is done one after another; with several, nothing is in one transaction
 * @throws as ClientConnection.query, with the name of what failed
 */
export async function runPlan(
  plan: TransferPlan,
  pairs: readonly [SessionPair, ...SessionPair[]],
  progress: CopyProgress,
  events: TransferEvents,
): Promise<void> {
  await runEntries(plan.entries, pairs, progress, events);
  const [{ target }] = pairs;
  events.onStep('setting owners, privileges and comments');
  await runClosing(target, [...plan.comments, ...plan.owners, ...plan.privileges]);
  await runEntries(plan.lastEntries, pairs, progress, events);
  await runClosing(target, plan.lastClosing);
}

async function runEntries(
  entries: readonly SchemaEntry[],
  pairs: readonly [SessionPair, ...SessionPair[]],
  progress: CopyProgress,
  events: TransferEvents,
): Promise<void> {
  for (let at = 0; at < entries.length; ) {
    const kind = (entries[at] as SchemaEntry).kind;
    events.onStep(STEPS[kind] ?? 'making the schema');
    let end = at + 1;
    while (end < entries.length && entries[end]?.kind === kind) end++;
    const group = entries.slice(at, end);
    const isParallel = pairs.length > 1 && ['data', 'index', 'key'].includes(kind);
    if (isParallel) await runParallel(group, pairs, progress);
    else for (const entry of group) await runEntry(entry, pairs[0], progress);
    at = end;
  }
}

/** What is attached to something else of the group comes after it, alone. */
const isAttached = ({ statements }: SchemaEntry): boolean =>
  statements.some((statement) => statement.includes(' ATTACH PARTITION '));

async function runParallel(
  group: readonly SchemaEntry[],
  pairs: readonly [SessionPair, ...SessionPair[]],
  progress: CopyProgress,
): Promise<void> {
  const size = ({ data }: SchemaEntry): number => data?.bytesEstimate ?? 0;
  const waiting = group.filter((entry) => !isAttached(entry)).sort((left, right) => size(right) - size(left));
  let failure: { readonly error: unknown } | undefined;
  const work = async (pair: SessionPair): Promise<void> => {
    for (let entry = waiting.shift(); entry !== undefined; entry = waiting.shift()) {
      try {
        await runEntry(entry, pair, progress);
      } catch (error) {
        failure ??= { error };
        waiting.length = 0;
      }
    }
  };
  await Promise.all(pairs.map(work));
  if (failure !== undefined) throw failure.error;
  for (const entry of group.filter(isAttached)) await runEntry(entry, pairs[0], progress);
}

async function runEntry(entry: SchemaEntry, pair: SessionPair, progress: CopyProgress): Promise<void> {
  try {
    for (const statement of entry.statements) await pair.target.query(statement);
    if (entry.data !== undefined) await copyTable(pair.source, pair.target, entry.data, progress);
  } catch (error) {
    throw failedAt(nameOf(entry), error);
  }
}

async function runClosing(target: ClientConnection, statements: readonly ClosingStatement[]): Promise<void> {
  for (const statement of statements) {
    try {
      for (const sql of closingSql(statement)) await target.query(sql);
    } catch (error) {
      throw failedAt(statement.text, error);
    }
  }
}
