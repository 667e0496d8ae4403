import type { ClientResult } from '../client/main.ts';

/** Written as they are, they would move the cursor, or worse. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;
const ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };
const NUMBER = /^-?\d+(\.\d+)?(e[+-]\d+)?$/;

/** The rows of a result as a table, numbers to the right; of a command without rows, what the server says of it. */
export function resultText({ columns, rows, commandTag }: ClientResult): string {
  if (columns.length === 0) return commandTag === '' ? '' : `${commandTag}\n`;
  const shown = rows.map((row) => row.map((value) => (value === null ? '' : escaped(value))));
  const head = columns.map(escaped);
  const widths = head.map((name, column) =>
    shown.reduce((width, row) => Math.max(width, widthOf(row[column] as string)), widthOf(name)),
  );
  const isNumber = head.map((_, column) =>
    rows.every((row) => row[column] === null || NUMBER.test(row[column] as string)),
  );
  const line = (cells: readonly string[], isHead: boolean): string =>
    cells
      .map((cell, column) => {
        const padding = ' '.repeat((widths[column] as number) - widthOf(cell));
        return !isHead && isNumber[column] === true ? ` ${padding}${cell}` : ` ${cell}${padding}`;
      })
      .join(' |')
      .trimEnd();
  const count = `(${rows.length} ${rows.length === 1 ? 'row' : 'rows'})`;
  const rule = widths.map((width) => '-'.repeat(width + 2)).join('+');
  return `${[line(head, true), rule, ...shown.map((row) => line(row, false)), count].join('\n')}\n\n`;
}

const escaped = (text: string): string =>
  text.replace(
    CONTROL,
    (character) =>
      ESCAPES[character] ?? `\\x${(character.codePointAt(0) as number).toString(16).padStart(2, '0')}`,
  );

/** In characters: what a terminal makes wider than one is out of line. */
const widthOf = (text: string): number => [...text].length;
