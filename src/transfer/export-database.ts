import { CopyProgress } from './copy-progress.ts';
import type { Doors } from './open-session.ts';
import { type WriteBytes, writeScript } from './script-writer.ts';
import type { ServerUrl } from './server-url.ts';
import { SourceDatabase } from './source-database.ts';
import type { TransferEvents, TransferSummary } from './transfer-events.ts';
import { planTransfer, readDatabase } from './transfer-plan.ts';

export interface ExportOptions {
  readonly server: ServerUrl;
  readonly schemas: readonly string[] | undefined;
  readonly isSkipping: boolean;
  readonly signal: AbortSignal;
}

/**
 * Writes what a database holds at one moment as a script.
 * @throws as openSession and planTransfer
 */
export async function exportDatabase(
  doors: Doors,
  { server, schemas, isSkipping, signal }: ExportOptions,
  write: WriteBytes,
  events: TransferEvents,
): Promise<TransferSummary> {
  events.onStep('reading the schema');
  await using source = await SourceDatabase.open(doors, server, 'branch', signal);
  const { connection, major } = source.main;
  const database = await readDatabase(connection, major);
  const plan = planTransfer(database, { schemas, isSkipping, roles: undefined, unsupported: [] });
  const tables = plan.entries.flatMap(({ data }) => data ?? []);
  const progress = new CopyProgress(events, tables);
  events.onStep('copying rows');
  await writeScript(plan, connection, major, write, progress);
  return { tables: tables.length, rows: progress.rows, bytes: progress.bytes, notes: plan.notes };
}
