import { quoteIdentifier } from '../postgres/sql-text.ts';
import type { ClosingStatement } from './schema-entry.ts';

/** As what runs: in the name of the role that has to say it. */
export function closingSql({ text, as }: ClosingStatement): string[] {
  if (as === undefined) return [text];
  return [`SET SESSION AUTHORIZATION ${quoteIdentifier(as)}`, text, 'RESET SESSION AUTHORIZATION'];
}
