import type { Command } from 'commander';
import type { Finding, FindShim, Level } from '../../doctor/main.ts';
import { configurationFault } from '../configuration/configure-program.ts';
import type { CliContext } from '../context.ts';
import { parseCount, parsePort } from '../option-values.ts';
import { DIRECTORY_DEFAULT, resolveDirectory } from '../system-directory.ts';
import { API_PORT, POSTGRES_PORT } from './start.ts';

interface DoctorFlags {
  readonly dir: string;
  readonly pg: number;
  readonly pgBin?: string;
  readonly host: string;
  readonly port?: number;
  readonly apiPort?: number;
}

const SIGNS: Readonly<Record<Level, string>> = { ok: '✓', warn: '!', fail: '✗' };
const COLOURS: Readonly<Record<Level, string>> = { ok: '\x1b[32m', warn: '\x1b[33m', fail: '\x1b[31m' };

export function registerDoctor(program: Command, context: CliContext): void {
  program
    .command('doctor')
    .description('look at what ‘varve start’ needs of this machine, and say what to do where it is not there')
    .option('--dir <directory>', 'the system’s', DIRECTORY_DEFAULT)
    .option('--pg <major>', 'version of PostgreSQL of a new system', parseCount, 17)
    .option('--pg-bin <directory>', 'PostgreSQL’s programs (those that npm brings)')
    .option('--host <address>', 'where clients connect to', '127.0.0.1')
    .option('--port <port>', `likewise (${POSTGRES_PORT})`, parsePort)
    .option('--api-port <port>', `of the API (${API_PORT})`, parsePort)
    .addHelpText('after', '\nEnds with 1 where something fails. See docs/troubleshoot.md.')
    .action((flags: DoctorFlags, command: Command) => run(context, flags, command));
}

async function run(context: CliContext, flags: DoctorFlags, command: Command): Promise<void> {
  const directory = resolveDirectory(flags.dir);
  const { examine } = await import('../../doctor/main.ts');
  const findings = [
    configurationFinding(command),
    ...(await examine(
      {
        directory,
        postgresMajor: flags.pg,
        binDirectory: flags.pgBin,
        host: flags.host,
        port: flags.port ?? POSTGRES_PORT,
        isPortGiven: flags.port !== undefined,
        apiPort: flags.apiPort ?? API_PORT,
      },
      findShim,
      (signal) => askSystem(directory, signal),
    )),
  ];
  if (findings.some(({ level }) => level === 'fail')) context.answerNo();
  if (context.isJson) await context.output.writeJson({ findings });
  else await context.output.write(`${findings.flatMap((each) => linesOf(each, context)).join('\n')}\n`);
}

function configurationFinding(command: Command): Finding {
  const check = 'configuration';
  const fault = configurationFault(command);
  if (fault === undefined) return { check, level: 'ok', text: 'see ‘varve config’' };
  const fix =
    'correct it: until then every command that goes by it is refused, and these are the options by default';
  return { check, level: 'fail', text: fault.reason, fix };
}

const findShim: FindShim = async () => {
  const { findShimOfMachine } = await import('../../system/main.ts');
  const path = await findShimOfMachine(new AbortController().signal);
  if (path === undefined) return undefined;
  return { path, kind: path.includes('/prebuilt/') ? 'prebuilt' : 'built' };
};

async function askSystem(directory: string, signal: AbortSignal) {
  const { openControlClient } = await import('../../system/main.ts');
  const { client } = await openControlClient(directory);
  const { nodes, branches } = await client.status(signal);
  return {
    away: nodes
      .filter(({ isReachable }) => !isReachable)
      .map(({ kind, id, error }) => `${kind} ${id} does not answer: ${error ?? 'no reason is known'}`),
    failed: branches.flatMap(({ project, branch, endpoints }) =>
      endpoints.filter(({ state }) => state === 'failed').map(({ id }) => `${id} on ${project}/${branch}`),
    ),
  };
}

function linesOf({ check, level, text, fix }: Finding, { output }: CliContext): string[] {
  const sign = output.isTerminal ? `${COLOURS[level]}${SIGNS[level]}\x1b[0m` : level.padEnd(4);
  return [`${sign} ${check}: ${text}`, ...(fix === undefined ? [] : [`     → ${fix}`])];
}
