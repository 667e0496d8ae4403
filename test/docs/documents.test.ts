import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Block, codeIn, readDocument } from './document-blocks.ts';
import { checkScript, KnownCommands } from './known-commands.ts';
import { ScratchShell } from './scratch-shell.ts';
import { commandsIn } from './shell-words.ts';

const ROOT = new URL('../../', import.meta.url);
const TIMEOUT_MS = 120_000;

const names = [
  'README.md',
  ...readdirSync(new URL('docs/', ROOT))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const documents = names.map((name) => readDocument(ROOT, name));
const blocks = documents.flatMap((document) => document.blocks);

/** In these each block is looked at; in the others those of the shell. */
const WHOLE = ['README.md', 'docs/start.md', 'docs/cli.md', 'docs/control.md', 'docs/library.md'];
/** Blocks of other languages than a shell's, and what becomes of them. */
const OTHERS: Readonly<Record<string, string>> = {
  'docs/library.md ts': 'run as a program of its own by test/library/library.test.ts',
  'README.md text': 'what a program prints',
  'README.md mermaid': 'a picture',
};
/** What stands in documents beside `varve` and `npm`. */
const OTHER_PROGRAMS = new Set(['curl', 'psql', 'cat', 'for', 'done', 'SUBSTITUTED']);

const known = new KnownCommands();

/** @throws Error that says which command or option of a program of the shell there is not */
function check(program: string): void {
  for (const words of commandsIn(program)) {
    const [name, ...rest] = words;
    if (name === 'varve' || name === 'bin/varve') known.check(rest);
    else if (name === 'npm') checkScript(words);
    else if (!OTHER_PROGRAMS.has(name as string)) throw new Error(`there is no program ${name}`);
  }
}

/** What a reader types of a block: in a `console` also stands what is answered. */
function typedIn({ language, text }: Block): string | undefined {
  if (language === 'sh') return text;
  if (language !== 'console') return undefined;
  const lines = text.split('\n').filter((line) => line.startsWith('$ '));
  return lines.map((line) => line.slice(2)).join('\n');
}

/** What is wrong of what is looked at, each with where it stands. */
function complaints(checks: readonly (readonly [string, () => void])[]): string[] {
  return checks.flatMap(([where, action]) => {
    try {
      action();
      return [];
    } catch (error) {
      return [`${where}: ${(error as Error).message}`];
    }
  });
}

describe('what is to be typed is known to the programs', () => {
  test('in blocks', () => {
    const shell = blocks.flatMap((block) => {
      const typed = typedIn(block);
      return typed === undefined ? [] : [[`${block.document}:${block.line}`, () => check(typed)] as const];
    });
    expect(shell.length).toBeGreaterThan(15);
    expect(complaints(shell)).toEqual([]);
    const others = blocks
      .filter((block) => WHOLE.includes(block.document) && typedIn(block) === undefined)
      .map(({ document, language }) => `${document} ${language}`);
    expect(new Set(others)).toEqual(new Set(Object.keys(OTHERS)));
  });

  test('in sentences and tables', () => {
    const inline = documents.flatMap(({ name, inline: codes }) =>
      codes.filter((code) => code.startsWith('varve ')).map((code) => [name, code] as const),
    );
    expect(inline.length).toBeGreaterThan(40);
    const checks = inline.map(([name, code]) => [`${name}, “${code}”`, () => checkMention(code)] as const);
    expect(complaints(checks)).toEqual([]);
  });

  test('options that tables tell of', () => {
    const of = (name: string): readonly (readonly string[])[] =>
      documents.find((document) => document.name === name)?.rows ?? [];
    const starts = of('docs/start.md').flatMap(([first = '']) =>
      optionsIn(first).map((option) => ['start', option] as const),
    );
    expect(starts.length).toBeGreaterThan(8);
    const commands = of('docs/cli.md').flatMap(([first = '', second = '']) => {
      const words = (codeIn(first)[0] ?? '').split(' ').filter((word) => /^[a-z]+$/.test(word));
      return optionsIn(second).map((option) => [words.join(' '), option] as const);
    });
    expect(commands.length).toBeGreaterThan(15);
    const checks = [...starts, ...commands].map(
      ([command, option]) => [command, () => known.checkOption(command.split(' '), option)] as const,
    );
    expect(complaints(checks)).toEqual([]);
  });
});

const optionsIn = (cell: string): string[] =>
  codeIn(cell).flatMap((code) => code.split(/[\s,]+/).filter((word) => /^--?[a-z]/.test(word)));

/** A command in a sentence may be without its operands. */
function checkMention(code: string): void {
  // Of `a|b` the first; what may be left out is there.
  const [words = []] = commandsIn(code.replace(/\|[\w|-]+|[[\]]/g, ''));
  if (words[1] !== '…') known.check(words.slice(1), 'mentioned');
}

describe('what concerns a system that runs does what is said', () => {
  let shell: ScratchShell;

  beforeAll(async () => {
    shell = await ScratchShell.make();
  });

  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
  });

  /** The block of a document that begins with these words. */
  function textOf(document: string, beginning: string): string {
    const found = blocks.filter((block) => block.document === document && block.text.startsWith(beginning));
    expect(found, `${document}, ${beginning}`).toHaveLength(1);
    return found[0]?.text as string;
  }

  async function runningUrl(): Promise<string> {
    const text = await readFile(join(shell.directory, '.varve/running.json'), 'utf8');
    return JSON.parse(text).ready.api;
  }

  test('docs/cli.md', { timeout: TIMEOUT_MS }, async () => {
    const printed = await shell.run(
      textOf('docs/cli.md', 'varve start --detach'),
      'SELECT 40 + 2 AS answer;\n',
    );
    expect(printed.match(/postgres:\/\/postgres@127\.0\.0\.1:\d+\/postgres/g)).toHaveLength(2);
    expect(printed).toMatch(/ answer\s*\n-+\n\s*42\n\(1 row\)/);
  });

  test('docs/control.md', { timeout: TIMEOUT_MS }, async () => {
    const { host } = new URL(await runningUrl());
    const text = textOf('docs/control.md', 'token=');
    expect(text).toContain('127.0.0.1:5480');
    const printed = await shell.run(text.replaceAll('127.0.0.1:5480', host));
    const [projects, made] = printed
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(projects).toMatchObject({ projects: [{ name: 'main' }] });
    expect(made).toMatchObject({ branch: { name: 'by-hand', state: 'ready' } });
  });

  test('README.md, from its beginning', { timeout: TIMEOUT_MS }, async () => {
    await shell.run('varve branch delete dev; varve stop');
    expect(await shell.run('varve --help')).toContain('Usage: varve');
    // The tests are what runs this; the rest of what a newcomer types is run.
    expect(blocks.find(({ document }) => document === 'README.md')).toMatchObject({
      language: 'sh',
      text: 'npm ci\nnpm test',
    });
    const system = await shell.start(textOf('README.md', 'npm start').replace(/ +#.*/, ''), /varve runs/);
    const printed = await shell.run(
      textOf('README.md', 'npx varve branch create'),
      'SELECT 40 + 2 AS answer;\n',
    );
    expect(printed).toMatch(/made the branch dev at .*\npostgres:\/\//);
    expect(printed).toMatch(/ answer\s*\n-+\n\s*42\n\(1 row\)/);
    expect(printed).toMatch(/^main[/ ]+dev\b/m);
    const ended = once(system, 'close');
    system.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
  });

  test('README.md, a safekeeper', { timeout: TIMEOUT_MS }, async () => {
    const [service = '', asking = ''] = textOf('README.md', 'varve safekeeper').split('\n');
    const [pg, http] = await freePorts();
    const withPorts = (text: string): string => text.replace(':5454', `:${pg}`).replace(':7676', `:${http}`);
    expect(withPorts(asking)).not.toBe(asking);
    const safekeeper = await shell.start(withPorts(service), /safekeeper 1/);
    expect(JSON.parse(await shell.run(withPorts(asking)))).toMatchObject({ id: 1 });
    const ended = once(safekeeper, 'close');
    safekeeper.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  });
});

async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()];
  const ports = await Promise.all(
    servers.map(async (server) => {
      await once(server.listen(0, '127.0.0.1'), 'listening');
      return (server.address() as { port: number }).port;
    }),
  );
  for (const server of servers) server.close();
  return ports as [number, number];
}
