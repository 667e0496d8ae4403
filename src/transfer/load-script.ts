import { BadRequestError } from '../base/errors.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { PostgresError } from '../libpq/client/postgres-error.ts';
import { failedAt } from './copy-table.ts';
import { isCopyIn, ScriptReader } from './script-reader.ts';
import type { TransferEvents, TransferSummary } from './transfer-events.ts';

/** Statements that name a role which this branch may not have, or a setting that its server does not know. */
const MAY_BE_MISSING = /^(alter\s[^;]*\sowner\s+to\s|grant\s|revoke\s|alter\s+default\s+privileges\s|set\s)/i;
/** undefined_object; invalid_parameter_value, where SET SESSION AUTHORIZATION names no role. */
const MISSING_STATES = ['42704', '22023'];
/** All is one transaction here: what a script has of its own says nothing. */
const OWN_TRANSACTION = /^(begin|commit|end|start\s+transaction)(\s+(work|transaction))?$/i;
const UNDOING = /^(rollback|abort|prepare\s+transaction)\b/i;
/** A new database has it, and pg_dump of single schemas makes it. */
const OF_NEW_DATABASE = /^create\s+schema\s+public$/i;
const SAVEPOINT = '"varve script"';
const STATEMENT_SHOWN = 120;

/**
 * Runs a script, as pg_dump and the export write them, within the transaction that the connection is in.
 * @param totalBytes of the script, where that is known
 * @throws as ScriptReader; STATEMENT_FAILED
 */
export async function loadScript(
  chunks: AsyncIterable<Uint8Array>,
  totalBytes: number | undefined,
  target: ClientConnection,
  events: TransferEvents,
): Promise<TransferSummary> {
  const reader = new ScriptReader(chunks);
  const notes: string[] = [];
  let [tables, rows, bytes] = [0, 0, 0];
  for (;;) {
    const statement = await reader.nextStatement();
    if (statement === undefined) break;
    if (OWN_TRANSACTION.test(statement) || OF_NEW_DATABASE.test(statement)) continue;
    if (UNDOING.test(statement)) {
      throw new BadRequestError('BAD_SCRIPT', `the script undoes what it does, with ${shown(statement)}`);
    }
    try {
      if (!isCopyIn(statement)) await runStatement(target, statement, notes);
      else {
        const table = /^copy\s+((?:"(?:[^"]|"")*"|[^\s("])+)/i.exec(statement)?.[1] ?? '';
        const copied = await loadRows(reader, target, statement, (length) => {
          bytes += length;
          const part = totalBytes === undefined ? undefined : reader.bytesRead / totalBytes;
          events.onCopied({ rows, bytes, part, table });
        });
        rows += copied;
        tables++;
      }
    } catch (error) {
      throw failedAt(shown(statement), error);
    }
  }
  return { tables, rows, bytes, notes };
}

async function loadRows(
  reader: ScriptReader,
  target: ClientConnection,
  statement: string,
  onSent: (lengthBytes: number) => void,
): Promise<number> {
  const copy = await target.copyIn(statement);
  try {
    for await (const part of reader.rows()) {
      await copy.send(part);
      if (copy.isOver) break;
      onSent(part.length);
    }
  } catch (error) {
    await copy.fail('the script has failed');
    throw error;
  }
  const { commandTag } = await copy.finish();
  return Number(commandTag.replace(/^COPY /, ''));
}

async function runStatement(target: ClientConnection, statement: string, notes: string[]): Promise<void> {
  if (!MAY_BE_MISSING.test(statement)) {
    await target.query(statement);
    return;
  }
  await target.query(`SAVEPOINT ${SAVEPOINT}`);
  try {
    await target.query(statement);
  } catch (error) {
    if (!(error instanceof PostgresError) || !MISSING_STATES.includes(error.sqlState)) throw error;
    await target.query(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`);
    notes.push(`left out: ${shown(statement)} (${error.reason})`);
  }
  await target.query(`RELEASE SAVEPOINT ${SAVEPOINT}`);
}

function shown(statement: string): string {
  const line = statement.replaceAll(/\s+/g, ' ').trim();
  return line.length <= STATEMENT_SHOWN ? line : `${line.slice(0, STATEMENT_SHOWN)}…`;
}
