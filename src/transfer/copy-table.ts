import { CorruptionError, VarveError } from '../base/errors.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import type { CopyProgress } from './copy-progress.ts';
import type { TableData } from './schema-entry.ts';

const CHUNK_BYTES = 256 * 1024;

/** Rows of the source's into a table that is there: no more than some chunks are on the way. */
export async function copyTable(
  source: ClientConnection,
  target: ClientConnection,
  data: TableData,
  progress: CopyProgress,
): Promise<void> {
  const copy = await target.copyIn(data.copyIn);
  let rows = 0;
  try {
    for await (const { bytes, messages } of source.copyOutChunks(data.copyOut, CHUNK_BYTES)) {
      await copy.send(bytes);
      if (copy.isOver) break;
      rows += messages;
      progress.copied(data, messages, bytes.length);
    }
  } catch (error) {
    await copy.fail('the source has failed');
    throw error;
  }
  const { commandTag } = await copy.finish();
  checkCount(data.table, commandTag, rows);
  progress.done(data);
}

/** @throws VarveError ‘corruption’ / ROWS_DIFFER */
export function checkCount(table: string, commandTag: string, rows: number): void {
  const taken = Number(commandTag.replace(/^COPY /, ''));
  if (taken === rows) return;
  throw new CorruptionError(
    'ROWS_DIFFER',
    `${rows} rows of ${table} were sent, and ${commandTag} is the answer`,
  );
}

/** What went wrong, and where. */
export function failedAt(what: string, error: unknown): unknown {
  if (!(error instanceof VarveError) || error.kind === 'assertion' || error.kind === 'cancelled')
    return error;
  const { fields } = error as VarveError & {
    readonly fields?: { readonly detail?: string; readonly hint?: string };
  };
  const lines = [
    `${what}: ${error.reason}`,
    ...(fields?.detail === undefined ? [] : [`  detail: ${fields.detail}`]),
    ...(fields?.hint === undefined ? [] : [`  hint: ${fields.hint}`]),
  ];
  const code = error.code === 'POSTGRES_ERROR' ? 'STATEMENT_FAILED' : error.code;
  return new VarveError(error.kind, code, lines.join('\n'), {}, error);
}
