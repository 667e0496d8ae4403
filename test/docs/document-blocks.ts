import { readFileSync } from 'node:fs';

/** A fenced block of a document. */
export interface Block {
  readonly document: string;
  /** Of the fence, from 1. */
  readonly line: number;
  /** Behind the fence; empty where nothing is. */
  readonly language: string;
  readonly text: string;
}

export interface Document {
  readonly name: string;
  readonly blocks: readonly Block[];
  /** What stands between backquotes outside of blocks, in its order. */
  readonly inline: readonly string[];
  /** Rows of tables, as their cells. */
  readonly rows: readonly (readonly string[])[];
}

/** @param name path from the root of the repository */
export function readDocument(root: URL, name: string): Document {
  const blocks: Block[] = [];
  const prose: string[] = [];
  let open: { line: number; language: string; lines: string[] } | undefined;
  for (const [index, line] of readFileSync(new URL(name, root), 'utf8').split('\n').entries()) {
    const fence = /^\s*```(.*)$/.exec(line);
    if (fence === null) (open?.lines ?? prose).push(line);
    else if (open === undefined) open = { line: index + 1, language: (fence[1] as string).trim(), lines: [] };
    else {
      blocks.push({ document: name, line: open.line, language: open.language, text: open.lines.join('\n') });
      open = undefined;
    }
  }
  if (open !== undefined) throw new Error(`${name}:${open.line}: this block has no end`);
  // In a table `\|` is a bar.
  const inline = [...prose.join('\n').matchAll(/`([^`]+)`/g)].map(([, code]) =>
    (code as string).replaceAll('\\|', '|').replaceAll('\n', ' '),
  );
  const rows = prose
    .filter((line) => line.startsWith('|') && !/^[|\s:-]+$/.test(line))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  return { name, blocks, inline, rows };
}

export const codeIn = (cell: string): string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => (code as string).replaceAll('\\|', '|'));
