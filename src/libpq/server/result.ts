import { type BackendMessage, writeBackendMessage } from '../../postgres/wire/backend-messages.ts';
import type { MessageWriter } from '../../postgres/wire/message-writer.ts';

/** pg_type.dat: OID and size of the types that services answer with. */
const TYPES = {
  text: { typeOid: 25, typeSize: -1 },
  int4: { typeOid: 23, typeSize: 4 },
  int8: { typeOid: 20, typeSize: 8 },
} as const;

export interface ResultColumn {
  readonly name: string;
  readonly type: keyof typeof TYPES;
}

/** A small result. Values are in the types' text form; null is NULL. */
export interface QueryResult {
  readonly columns: readonly ResultColumn[];
  readonly rows: readonly (readonly (string | null)[])[];
  /** Such as `SELECT 1`. */
  readonly commandTag: string;
}

const utf8 = new TextEncoder();

/** RowDescription, DataRows and CommandComplete. */
export function writeQueryResult(writer: MessageWriter, result: QueryResult): void {
  const fields = result.columns.map(({ name, type }) => ({
    name,
    tableOid: 0,
    columnNumber: 0,
    ...TYPES[type],
    typeModifier: -1,
    format: 'text' as const,
  }));
  const write = (message: BackendMessage): void => writeBackendMessage(writer, message);
  write({ kind: 'RowDescription', fields });
  for (const row of result.rows) {
    write({ kind: 'DataRow', values: row.map((value) => (value === null ? null : utf8.encode(value))) });
  }
  write({ kind: 'CommandComplete', commandTag: result.commandTag });
}
