import { CommanderError } from 'commander';
import { expect, test } from 'vitest';
import { nodeFiles } from '../io/node/files.ts';
import type { CliContext } from './context.ts';
import { describeFailure } from './failure.ts';
import { makeProgram } from './program.ts';

async function runIn(args: readonly string[], isJson = false) {
  const written = { out: '', error: '' };
  const context: CliContext = {
    version: '1.2.3',
    runtime: { version: 'v24.0.0', platform: 'linux-x64' },
    isJson,
    output: {
      isTerminal: false,
      write: async (text) => {
        written.out += text;
      },
      writeJson: async (value) => {
        written.out += `${JSON.stringify(value)}\n`;
      },
    },
    diagnostics: { isTerminal: false, write: () => undefined, nowMs: () => 0 },
    files: nodeFiles,
    environment: {},
    answerNo: () => undefined,
  };
  const program = makeProgram(context, (text) => {
    written.error += text;
  });
  program
    .command('group')
    .command('dump')
    .requiredOption('--file <path>')
    .option('--limit <n>')
    .action(() => undefined);
  try {
    await program.parseAsync(args, { from: 'user' });
    return { ...written, exitCode: 0 };
  } catch (error) {
    expect(error).toBeInstanceOf(CommanderError);
    const { exitCode, text } = describeFailure(error, isJson);
    return { out: written.out, error: written.error + text, exitCode };
  }
}

test.each([
  [['grup'], "varve: unknown command 'grup' (Did you mean group?)\n"],
  [['group', 'dmup'], "varve: unknown command 'dmup' (Did you mean dump?)\n"],
  [
    ['group', 'dump', '--file', 'a', '--limti', '1'],
    "varve: unknown option '--limti' (Did you mean --limit?)\n",
  ],
  [['group', 'dump'], "varve: required option '--file <path>' not specified\n"],
  [['--jsn', 'version'], "varve: unknown option '--jsn' (Did you mean --json?)\n"],
])('%j is answered with the nearest one and 2', async (args, error) => {
  expect(await runIn(args)).toEqual({ out: '', error, exitCode: 2 });
});

test('a group without a command prints its help as an error of usage', async () => {
  const { out, error, exitCode } = await runIn(['group']);
  expect({ out, exitCode }).toEqual({ out: '', exitCode: 2 });
  expect(error).toMatch(/^Usage: varve group /);
});

test('help that was asked for is a result', async () => {
  const { out, error, exitCode } = await runIn(['group', '--help']);
  expect({ error, exitCode }).toEqual({ error: '', exitCode: 0 });
  expect(out).toMatch(/^Usage: varve group /);
});

test('with --json nothing but the error object goes to standard error', async () => {
  const { error, exitCode } = await runIn(['group', '--json'], true);
  expect(exitCode).toBe(2);
  expect(JSON.parse(error)).toEqual({
    error: { kind: 'bad-request', code: 'MISSING_ARGUMENT', message: 'a command is missing' },
  });
});
