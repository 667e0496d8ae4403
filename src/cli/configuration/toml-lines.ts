import { parse, type TomlTable } from 'smol-toml';

/**
 * The line, from 1, on which each value of a document begins; of a table that of its header. The parser does not
 * say: so it is given one statement after another.
 * @param text parses as a whole
 * @returns by path, its keys with a zero byte between
 */
export function findLines(text: string): ReadonlyMap<string, number> {
  const lines = new Map<string, number>();
  let table: string[] = [];
  let statement = '';
  let first = 1;
  for (const [index, line] of text.split('\n').entries()) {
    statement += `${line}\n`;
    const parsed = parseStatement(statement);
    // A value goes on.
    if (parsed === undefined) continue;
    if (/^\s*\[/.test(statement)) {
      table = pathOf(parsed);
      lines.set(lineKey(table), first);
    } else note(lines, table, parsed, first);
    statement = '';
    first = index + 2;
  }
  return lines;
}

export const lineKey = (path: readonly string[]): string => path.join('\0');

function parseStatement(text: string): TomlTable | undefined {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

/** Of the only table that a header makes. */
function pathOf(table: TomlTable): string[] {
  const [name, value] = Object.entries(table)[0] ?? [];
  if (name === undefined) return [];
  return [name, ...(isTable(value) ? pathOf(value) : [])];
}

function note(lines: Map<string, number>, above: readonly string[], table: TomlTable, line: number): void {
  for (const [name, value] of Object.entries(table)) {
    const path = [...above, name];
    lines.set(lineKey(path), line);
    if (isTable(value)) note(lines, path, value, line);
  }
}

export const isTable = (value: unknown): value is TomlTable =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
