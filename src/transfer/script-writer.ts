import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { closingSql } from './closing-sql.ts';
import type { CopyProgress } from './copy-progress.ts';
import { failedAt } from './copy-table.ts';
import { type ClosingStatement, nameOf, type SchemaEntry } from './schema-entry.ts';
import type { TransferPlan } from './transfer-plan.ts';

/** The first line of a script, and the last one, without which some of it is missing. */
export const SCRIPT_HEAD = '-- Varve export';
export const SCRIPT_END = '-- Varve export complete';
const CHUNK_BYTES = 256 * 1024;

/** Of psql's session, which runs the script: see SHARED_SETTINGS and MAKING_SETTINGS. */
const HEADER_SETTINGS = [
  "SET client_encoding = 'UTF8'",
  'SET standard_conforming_strings = on',
  'SET statement_timeout = 0',
  'SET lock_timeout = 0',
  'SET idle_in_transaction_session_timeout = 0',
  'SET check_function_bodies = off',
  'SET client_min_messages = warning',
  'SET xmloption = content',
  'SET row_security = off',
  "SET search_path = ''",
  "SET datestyle = 'ISO, YMD'",
  "SET intervalstyle = 'postgres'",
  "SET timezone = 'UTC'",
  "SET lc_monetary = 'C'",
  "SET default_tablespace = ''",
  'SET default_table_access_method = heap',
];

/** Takes what is written, and says when it wants more. */
export type WriteBytes = (bytes: Uint8Array) => Promise<void>;

const utf8 = new TextEncoder();

/**
 * Writes a plan as a script of SQL, which psql and loadScript run, with rows in COPY's text format.
 * @param source whose rows are read; no more of them than a chunk is held
 */
export async function writeScript(
  plan: TransferPlan,
  source: ClientConnection,
  major: number,
  write: WriteBytes,
  progress: CopyProgress,
): Promise<void> {
  const writeText = (text: string): Promise<void> => write(utf8.encode(text));
  await writeText(`${SCRIPT_HEAD}\n-- of PostgreSQL ${major}\n\n${statementLines(HEADER_SETTINGS)}\n`);
  for (const entry of plan.entries) await writeEntry(entry, source, write, progress);
  await writeClosing([...plan.comments, ...plan.owners, ...plan.privileges], writeText);
  for (const entry of plan.lastEntries) await writeEntry(entry, source, write, progress);
  await writeClosing(plan.lastClosing, writeText);
  await writeText(`\n${SCRIPT_END}\n`);
}

const statementLines = (statements: readonly string[]): string =>
  statements.map((statement) => `${statement};\n`).join('');

async function writeEntry(
  entry: SchemaEntry,
  source: ClientConnection,
  write: WriteBytes,
  progress: CopyProgress,
): Promise<void> {
  // A line break within a name would end the comment.
  const title = `-- ${nameOf(entry).replaceAll(/[\r\n]/g, ' ')}\n`;
  await write(utf8.encode(`${title}${statementLines(entry.statements)}`));
  const { data } = entry;
  if (data !== undefined) {
    try {
      await write(utf8.encode(`${data.copyIn};\n`));
      for await (const { bytes, messages } of source.copyOutChunks(data.copyOut, CHUNK_BYTES)) {
        await write(bytes);
        progress.copied(data, messages, bytes.length);
      }
      await write(utf8.encode('\\.\n'));
    } catch (error) {
      throw failedAt(nameOf(entry), error);
    }
    progress.done(data);
  }
  await write(utf8.encode('\n'));
}

async function writeClosing(
  statements: readonly ClosingStatement[],
  writeText: (text: string) => Promise<void>,
): Promise<void> {
  for (const statement of statements) await writeText(statementLines(closingSql(statement)));
}
