import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { CliContext } from '../../src/cli/context.ts';
import { makeProgram } from '../../src/cli/program.ts';
import { nodeFiles } from '../../src/io/node/files.ts';

const ROOT = new URL('../../', import.meta.url);

/** Of a program that is asked what it knows, and carries nothing out. */
const CONTEXT: CliContext = {
  version: '1.2.3',
  runtime: { version: process.version, platform: 'linux-x64' },
  isJson: false,
  output: { isTerminal: false, write: async () => undefined, writeJson: async () => undefined },
  diagnostics: { isTerminal: false, write: () => undefined, nowMs: () => 0 },
  files: nodeFiles,
  environment: {},
  answerNo: () => undefined,
};

/** What `varve` knows: its commands, their options and operands. */
export class KnownCommands {
  readonly #program: Command = makeProgram(CONTEXT, () => undefined);

  /**
   * @param kind ‘mentioned’: operands may be left out
   * @throws Error that says which word of a command line `varve` does not know
   */
  check(words: readonly string[], kind: 'typed' | 'mentioned' = 'typed'): void {
    const { command, rest } = this.#find(words);
    const operands = countOperands(command, rest);
    if (command.commands.length > 0 || rest.includes('--help')) return;
    const known = command.registeredArguments;
    const least = known.filter(({ required }) => required).length;
    const most = known.some(({ variadic }) => variadic) ? Number.POSITIVE_INFINITY : known.length;
    if ((kind === 'typed' && operands < least) || operands > most) {
      throw new Error(`“${nameOf(command)}” does not take ${operands} operands`);
    }
  }

  /** @throws Error for an option that a command does not know */
  checkOption(path: readonly string[], option: string): void {
    takesValue(this.#find(path).command, option);
  }

  /** The command that words name, and the words that are not of its name. */
  #find(words: readonly string[]): { command: Command; rest: readonly string[] } {
    let command = this.#program;
    let rest = words;
    while (command.commands.length > 0) {
      const index = rest.findIndex((word) => !word.startsWith('-'));
      // Such as `varve --help`.
      if (index < 0) break;
      const name = rest[index] as string;
      const next = command.commands.find((each) => each.name() === name);
      if (next === undefined) throw new Error(`“${nameOf(command)}” has no command ${name}`);
      command = next;
      rest = rest.toSpliced(index, 1);
    }
    return { command, rest };
  }
}

function countOperands(command: Command, words: readonly string[]): number {
  let operands = 0;
  for (let index = 0; index < words.length; index++) {
    const word = words[index] as string;
    // What follows is another program's.
    if (word === '--') return operands;
    if (word === '…') continue;
    if (!/^--?[a-zA-Z]/.test(word)) {
      operands++;
      continue;
    }
    const [name = '', value] = word.split('=', 2);
    if (takesValue(command, name) && value === undefined && ++index >= words.length) {
      throw new Error(`a value is missing behind ${name} of “${nameOf(command)}”`);
    }
  }
  return operands;
}

/** @throws Error for an option that neither the command nor what it is a part of knows */
function takesValue(command: Command, name: string): boolean {
  if (name === '--help') return false;
  for (let each: Command | null = command; each !== null; each = each.parent) {
    const option = each.options.find(({ long, short }) => long === name || short === name);
    if (option !== undefined) return option.required || option.optional;
  }
  throw new Error(`“${nameOf(command)}” knows no option ${name}`);
}

const nameOf = (command: Command): string =>
  command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;

/** @throws Error for a script that package.json does not have, or an option that its program does not */
export function checkScript(words: readonly string[]): void {
  const manifest = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8'));
  const isRun = words[1] === 'run';
  const name = words[isRun ? 2 : 1] as string;
  if (!isRun && name === 'ci') return;
  const script = manifest.scripts[name] as string | undefined;
  if (script === undefined) throw new Error(`package.json has no script ${name}`);
  // Numbers are values.
  const given = words.slice(isRun ? 4 : 3).filter((word) => !/^\d+$/.test(word));
  const program = /node (\S+\.ts)$/.exec(script)?.[1];
  if (given.length === 0 || program === undefined) return;
  const source = readFileSync(new URL(program, ROOT), 'utf8');
  for (const word of given) {
    const pattern = word.startsWith('--') ? `^ +'?${word.slice(2)}'?: \\{ type:` : `\\b${word}\\b`;
    if (!new RegExp(pattern, 'm').test(source)) throw new Error(`${program} knows no ${word}`);
  }
}
