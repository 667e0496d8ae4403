import { readFileSync } from 'node:fs';
import { nodeFiles } from '../io/node/files.ts';
import type { CliContext, Diagnostics, Output } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { describeFailure } from './failure.ts';
import { makeProgram } from './program.ts';

/** Runs one command line, without `node` and the program's name. Sets the exit code of the process. */
export async function main(args: readonly string[]): Promise<void> {
  process.stdout.on('error', endQuietly);
  process.stderr.on('error', endQuietly);
  const isJson = args.slice(0, args.includes('--') ? args.indexOf('--') : args.length).includes('--json');
  const fail = (error: unknown): void => {
    const { exitCode, text } = describeFailure(error, isJson);
    process.exitCode = exitCode;
    if (text !== '') process.stderr.write(text);
  };
  // A bug wherever it happens, and not the exit code 1 that Node.js would end with.
  process.on('uncaughtException', (error) => {
    fail(error);
    process.exit();
  });

  const context: CliContext = {
    version: readVersion(),
    runtime: { version: process.version, platform: `${process.platform}-${process.arch}` },
    isJson,
    output: standardOutput,
    diagnostics: standardError,
    files: nodeFiles,
    environment: process.env,
    answerNo: () => {
      process.exitCode = EXIT.no;
    },
  };
  try {
    const program = makeProgram(context, (text) => process.stderr.write(text));
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    fail(error);
  }
}

const standardOutput: Output = {
  isTerminal: process.stdout.isTTY === true,
  write: (text) =>
    new Promise((resolve) => {
      if (process.stdout.write(text)) resolve();
      else process.stdout.once('drain', resolve);
    }),
  writeJson: (value) => standardOutput.write(`${JSON.stringify(value)}\n`),
};

const standardError: Diagnostics = {
  isTerminal: process.stderr.isTTY === true,
  write: (text) => void process.stderr.write(text),
  nowMs: () => performance.now(),
};

/** The reader has seen enough and gone (`varve … | head`): there is nobody left to tell anything. */
function endQuietly(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
}

function readVersion(): string {
  // Both src/cli and dist/cli lie two folders below it.
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
