import { posix } from 'node:path';

/** A file of the repository: its path from the root, and its text. */
export interface TextFile {
  readonly path: string;
  readonly text: string;
}

/** Whether a file or folder, given as a path from the root, is in the repository. */
export type Exists = (path: string) => boolean;

// Put together here, so that this file does not hold what it looks for.
const UNFINISHED = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b`);

export function findUnfinished(file: TextFile): string[] {
  return lines(file).flatMap(({ line, text }) => {
    const mark = UNFINISHED.exec(text)?.[0];
    if (mark === undefined) return [];
    return [`${file.path}:${line}: ${mark}: finish it, or write into docs/ what is left out and why`];
  });
}

/**
 * Finds files that are longer than they may be, and exceptions that are none any more.
 * @param exceptions path of each file that may be longer, with the reason
 */
export function findLongFiles(
  files: readonly TextFile[],
  linesMax: number,
  exceptions: Readonly<Record<string, string>>,
): string[] {
  const problems: string[] = [];
  const long = new Set<string>();
  for (const file of files) {
    const count = lines(file).length;
    if (count <= linesMax) continue;
    long.add(file.path);
    if (exceptions[file.path] !== undefined) continue;
    problems.push(
      `${file.path}: ${count} lines, ${linesMax} are allowed: split it where two nouns share it, ` +
        'or list it in tools/tidy/long-files.ts with a reason',
    );
  }
  for (const path of Object.keys(exceptions)) {
    if (!long.has(path))
      problems.push(`${path}: is not too long any more: take it off tools/tidy/long-files.ts`);
  }
  return problems;
}

/**
 * Calls that put a file in its place, which only replaceFile does in an order that outlasts a crash. `create` is the
 * name of many methods: it counts where it is called on what is named after files.
 */
const STATE_WRITE = /\b\w*files\b\s*\??\.\s*create\s*\(|\.\s*(?:rename|link)\s*\(/gi;

/**
 * Finds where a service would write a state file in another way than replaceFile, and exceptions that are none any
 * more (VF-02).
 * @param keepers folders of the services that the rule is for
 * @param exceptions path of each file that may, with the reason
 */
export function findStateWrites(
  files: readonly TextFile[],
  keepers: readonly string[],
  exceptions: Readonly<Record<string, string>>,
): string[] {
  const problems: string[] = [];
  const writers = new Set<string>();
  for (const file of files) {
    if (file.path.endsWith('.test.ts')) continue;
    if (!keepers.some((folder) => file.path.startsWith(`${folder}/`))) continue;
    // A call may be spread over lines.
    for (const { 0: call, index } of file.text.matchAll(STATE_WRITE)) {
      writers.add(file.path);
      if (exceptions[file.path] !== undefined) continue;
      const line = file.text.slice(0, index).split('\n').length;
      problems.push(
        `${file.path}:${line}: calls ${call.replace(/\s/g, '')}…): state files are written by replaceFile of ` +
          'src/io/replace-file.ts; what is no state file is listed in tools/tidy/state-writers.ts with a reason',
      );
    }
  }
  for (const path of Object.keys(exceptions)) {
    if (!writers.has(path))
      problems.push(`${path}: puts no file in its place any more: take it off tools/tidy/state-writers.ts`);
  }
  return problems;
}

const LINK = /\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g;
const MENTION = /(?<![\w/.-])docs\/[\w./-]*\w\.\w+/g;

/** Finds relative links of a Markdown file, and mentions of pages in docs/ in any file, that lead nowhere. */
export function findDeadLinks(file: TextFile, exists: Exists, readText: (path: string) => string): string[] {
  const problems: string[] = [];
  const isMarkdown = file.path.endsWith('.md');
  let isInCode = false;
  for (const { line, text } of lines(file)) {
    if (isMarkdown && /^\s*(```|~~~)/.test(text)) isInCode = !isInCode;
    const targets = new Set<string>();
    if (isMarkdown && !isInCode) {
      for (const [, target = ''] of text.replace(/`[^`]*`/g, '').matchAll(LINK)) targets.add(target);
    }
    for (const target of targets) {
      const problem = verifyLink(file, target, exists, readText);
      if (problem !== undefined) problems.push(`${file.path}:${line}: ${problem}`);
    }
    for (const [mention] of text.replace(LINK, '').matchAll(MENTION)) {
      if (!exists(mention)) problems.push(`${file.path}:${line}: names ${mention}, which does not exist`);
    }
  }
  return problems;
}

function verifyLink(
  file: TextFile,
  target: string,
  exists: Exists,
  readText: (path: string) => string,
): string | undefined {
  if (/^[a-z][a-z0-9+.-]*:/i.test(target)) return undefined;
  const [linked = '', anchor] = target.split('#', 2);
  const path = linked === '' ? file.path : posix.join(posix.dirname(file.path), decodeURI(linked));
  if (!exists(path)) return `links to ${target}, which does not exist`;
  if (anchor === undefined || !path.endsWith('.md')) return undefined;
  if (headings(readText(path)).has(anchor)) return undefined;
  return `links to ${target}: ${path} has no such heading`;
}

/** The anchors that GitHub gives to the headings of a Markdown text. */
function headings(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of text.matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    anchors.add(
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replace(/\s/g, '-'),
    );
  }
  return anchors;
}

/**
 * Finds what a walk through the code (docs/follow) names in backticks and is not there: files by their path from
 * the root or from src, functions and methods as `name()` or `Class.name()`, looked for in the files that the page
 * names.
 */
export function findStaleNames(
  page: TextFile,
  exists: Exists,
  namesIn: (path: string) => ReadonlySet<string>,
): string[] {
  const problems: string[] = [];
  const files: string[] = [];
  const functions: { line: number; name: string }[] = [];
  for (const { line, text } of lines(page)) {
    for (const [, code = ''] of text.matchAll(/`([^`]+)`/g)) {
      if (/^[\w./-]+\.(ts|c)$/.test(code)) {
        const path = [code, `src/${code}`].find(exists);
        if (path === undefined)
          problems.push(`${page.path}:${line}: names the file ${code}, which does not exist`);
        else files.push(path);
      }
      const name = /^(?:[\w$]+\.)*([\w$]+)\([^)]*\)$/.exec(code)?.[1];
      if (name !== undefined) functions.push({ line, name });
    }
  }
  for (const { line, name } of functions) {
    if (files.some((path) => path.endsWith('.ts') && namesIn(path).has(name))) continue;
    problems.push(
      `${page.path}:${line}: names the function ${name}, which none of the files that it names declares`,
    );
  }
  return problems;
}

function lines(file: TextFile): { line: number; text: string }[] {
  const texts = file.text.split('\n');
  if (texts.at(-1) === '') texts.pop();
  return texts.map((text, index) => ({ line: index + 1, text }));
}
