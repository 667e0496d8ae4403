import { AssertionError } from '../../base/errors.ts';
import { CommandError } from './wire-error.ts';

/** A word of the replication grammar. */
export type Token =
  /** Keywords and names in any case; those in double quotes are names only. */
  | { readonly kind: 'word'; readonly text: string; readonly isQuoted: boolean }
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'number'; readonly text: string }
  /** `HI/LO`. */
  | { readonly kind: 'lsn'; readonly text: string }
  | { readonly kind: 'mark'; readonly text: string };

/** repl_scanner.l; the longest match counts, so an LSN is looked for before a number and a word. */
const TOKEN =
  /([ \t\n\r\f\v]+)|([0-9A-Fa-f]+\/[0-9A-Fa-f]+)|([0-9]+)|([A-Za-z_\u0080-\u{10FFFF}][A-Za-z_\u0080-\u{10FFFF}0-9$]*)|'((?:[^']|'')*)'|"((?:[^"]|"")*)"|(.)/suy;

/** Far more than any command needs, and no work for the scanner. */
const COMMAND_LENGTH_MAX = 10_000;

/**
 * Cuts a replication command into words.
 * @throws CommandError for a quote that nothing closes, and for more than 10 000 characters
 */
export function scanReplicationCommand(command: string): Token[] {
  if (command.length > COMMAND_LENGTH_MAX) {
    throw new CommandError('BAD_COMMAND', `a command of ${command.length} characters is too long`);
  }
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < command.length) {
    const match = TOKEN.exec(command);
    if (match === null) throw new AssertionError('some character is no token');
    const [, space, lsn, number, word, string, name, mark] = match;
    if (space !== undefined) continue;
    if (lsn !== undefined) tokens.push({ kind: 'lsn', text: lsn });
    else if (number !== undefined) tokens.push({ kind: 'number', text: number });
    else if (word !== undefined) tokens.push({ kind: 'word', text: word, isQuoted: false });
    else if (string !== undefined) tokens.push({ kind: 'string', text: string.replaceAll("''", "'") });
    else if (name !== undefined)
      tokens.push({ kind: 'word', text: name.replaceAll('""', '"'), isQuoted: true });
    else if (mark === "'" || mark === '"')
      throw new CommandError('BAD_COMMAND', 'unterminated quoted string');
    else tokens.push({ kind: 'mark', text: mark as string });
  }
  return tokens;
}

/** A token as an error names it. */
export function describeToken(token: Token | undefined): string {
  return token === undefined ? 'the end of the command' : `"${token.text}"`;
}
