import type { MessageReader } from './message-reader.ts';
import type { MessageWriter } from './message-writer.ts';

/** Letters of the fields of ErrorResponse and NoticeResponse, in the order in which a server sends them. */
const FIELD_LETTERS = {
  /** ERROR, FATAL, PANIC, WARNING, NOTICE, DEBUG, INFO or LOG, perhaps translated. */
  severity: 'S',
  /** The same, never translated. */
  severityNonlocalized: 'V',
  sqlState: 'C',
  message: 'M',
  detail: 'D',
  hint: 'H',
  /** Where it happened: the call stack. */
  context: 'W',
  schemaName: 's',
  tableName: 't',
  columnName: 'c',
  dataTypeName: 'd',
  constraintName: 'n',
  /** Characters from the beginning of the query, from 1. */
  position: 'P',
  internalPosition: 'p',
  internalQuery: 'q',
  file: 'F',
  line: 'L',
  routine: 'R',
} as const;

type FieldName = keyof typeof FIELD_LETTERS;
type RequiredFieldName = 'severity' | 'sqlState' | 'message';

/** Fields of an ErrorResponse or NoticeResponse (postgres_ext.h, PG_DIAG_*). */
export type ErrorFields = Readonly<Record<RequiredFieldName, string>> &
  Readonly<Partial<Record<Exclude<FieldName, RequiredFieldName>, string>>>;

const FIELD_NAMES = Object.keys(FIELD_LETTERS) as FieldName[];
const NAME_BY_LETTER = new Map(FIELD_NAMES.map((name) => [FIELD_LETTERS[name].charCodeAt(0), name]));

/** The protocol asks for fields of an unknown kind to be passed over: newer servers have more. */
export function readErrorFields(reader: MessageReader): ErrorFields {
  const fields: Partial<Record<FieldName, string>> = {};
  for (let letter = reader.u8(); letter !== 0; letter = reader.u8()) {
    const text = reader.displayString();
    const name = NAME_BY_LETTER.get(letter);
    if (name !== undefined) fields[name] = text;
  }
  const { severity, sqlState, message } = fields;
  if (severity === undefined || sqlState === undefined || message === undefined) {
    return reader.refuse('severity, SQLSTATE or text of the error are missing');
  }
  return { ...fields, severity, sqlState, message };
}

export function writeErrorFields(writer: MessageWriter, fields: ErrorFields): void {
  for (const name of FIELD_NAMES) {
    const text = fields[name];
    if (text !== undefined) writer.u8(FIELD_LETTERS[name].charCodeAt(0)).cString(text);
  }
  writer.u8(0);
}
