import type { Command } from 'commander';
import { Option } from 'commander';
import { BadRequestError } from '../../base/errors.ts';
import { CONTROL_API } from '../../contracts/control-api.ts';
import { formatObjectLocation, type ObjectLocation } from '../../io/object-location.ts';
import type { RunningSystem, SystemOptions } from '../../system/main.ts';
import { configurationArguments } from '../configuration/configure-program.ts';
import { isForeign, originOf } from '../configuration/resolve.ts';
import { maskSecrets } from '../configuration/setting.ts';
import type { CliContext } from '../context.ts';
import {
  LOG_LEVELS,
  type LogLevel,
  parseCount,
  parseDuration,
  parsePort,
  parsePositive,
  parseStore,
} from '../option-values.ts';
import { StartProgress } from '../start-progress.ts';
import { DIRECTORY_DEFAULT, resolveDirectory } from '../system-directory.ts';

export const POSTGRES_PORT = 5432;
export const API_PORT = 5480;
/** Of a start (system.ts): it is not there where the database is somebody else's. */
const OWN_DATABASE_STEP = 'database';
const SAFEKEEPERS_MAX = 9;

interface StartFlags {
  readonly dir: string;
  readonly pg: number;
  readonly host: string;
  readonly port?: number;
  readonly apiPort?: number;
  readonly safekeepers: number;
  readonly s3?: ObjectLocation;
  readonly suspendAfter: number;
  readonly pgBin?: string;
  readonly databaseUrl?: string;
  readonly detach?: true;
  readonly processes?: true;
  readonly logLevel: Exclude<LogLevel, 'silent'>;
}

export function registerStart(program: Command, context: CliContext): void {
  program
    .command('start')
    .description('run the whole system: storage, control plane, and PostgreSQL on the project main')
    .option('--dir <directory>', 'everything is below it', DIRECTORY_DEFAULT)
    .option('--pg <major>', 'version of PostgreSQL of a new system', parseCount, 17)
    .option('--host <address>', 'where clients connect to', '127.0.0.1')
    .option('--port <port>', `likewise; 0 takes a free one (${POSTGRES_PORT})`, parsePort)
    .option(
      '--api-port <port>',
      `of the API, on 127.0.0.1; another one if it is taken (${API_PORT})`,
      parsePort,
    )
    .option('--safekeepers <n>', 'of a new system: each keeps the WAL', parsePositive, 3)
    .option(
      '--s3 <url>',
      'object store: s3://bucket/prefix?endpoint=…&region=… or file:///directory (`bucket` in --dir)',
      parseStore,
    )
    .addOption(
      new Option('--suspend-after <time>', 'ends a compute that has idled for so long; 0s: never')
        .argParser(parseDuration)
        .default(300_000, '5m'),
    )
    .option('--pg-bin <directory>', 'PostgreSQL’s programs (those that npm brings)')
    .option(
      '--database-url <url>',
      'postgres://… of a database for the control plane, in place of one of its own (DATABASE_URL)',
    )
    .option('--detach', 'go on in the background: see ‘varve stop’')
    .option('--processes', 'each service a process of its own')
    .addOption(
      new Option('--log-level <level>', 'of the logs in --dir')
        .choices(LOG_LEVELS.filter((level) => level !== 'silent'))
        .default('info'),
    )
    .addHelpText(
      'after',
      '\nCtrl-C ends it in order, a second one at once: nothing that was committed is lost either way. See docs/start.md.',
    )
    .action((flags: StartFlags, command: Command) => run(context, flags, command));
}

async function run(context: CliContext, flags: StartFlags, command: Command): Promise<void> {
  const options = toOptions(context, flags, command);
  // Loaded only here: no other command needs it.
  const { readyOf, runSystem, startDetached } = await import('../../system/main.ts');
  if (flags.detach === true) {
    if (flags.databaseUrl !== undefined && configurationArguments(command)[0] === '--no-config') {
      const reason = '--no-config and --detach: then --database-url has no way that others cannot read';
      throw new BadRequestError('CONFLICTING_OPTIONS', reason);
    }
    await announce(
      context,
      options,
      await startDetached(
        options.directory,
        argumentsOf(flags, options, command),
        // Everybody on the machine can read a process's arguments.
        flags.databaseUrl === undefined || isDatabaseForeign(command)
          ? {}
          : { VARVE_START_DATABASE_URL: flags.databaseUrl },
      ),
    );
    return;
  }
  const progress = new StartProgress(context);
  try {
    await runSystem(options, {
      onBegin: (step) => progress.begin(step),
      onEnd: (finished) => progress.end(finished),
      onTick: () => progress.tick(),
      onReady: async (system) => {
        progress.clear();
        await announce(context, options, readyOf(system));
      },
      onStopping: () => {
        if (!context.isJson) context.diagnostics.write('stopping …\n');
      },
    });
  } finally {
    progress.clear();
  }
  if (context.isJson) await context.output.writeJson({ event: 'stopped' });
  else await context.output.write('stopped\n');
}

async function announce(
  { isJson, output }: CliContext,
  { directory, database }: SystemOptions,
  { url, api, steps, totalMs, failure }: NonNullable<RunningSystem['ready']>,
): Promise<void> {
  if (isJson) {
    const times = Object.fromEntries(steps.map(({ step, ms }) => [step, Math.round(ms)]));
    await output.writeJson({
      event: 'ready',
      url,
      api: api + CONTROL_API,
      directory,
      steps: times,
      totalMs: Math.round(totalMs),
      ...(failure === undefined ? {} : { failure }),
    });
    return;
  }
  const bold = (text: string): string => (output.isTerminal ? `\x1b[1m${text}\x1b[0m` : text);
  const tries =
    failure !== undefined
      ? ['varve status', 'varve logs computes', 'varve endpoint start main']
      : url === null
        ? ['varve project create NAME', 'varve project list', 'varve status']
        : ['varve connect main', 'varve branch create my-branch', 'varve status'];
  const isDefault = directory === resolveDirectory(DIRECTORY_DEFAULT);
  const suffix = isDefault ? '' : ` --dir ${directory}`;
  await output.write(
    [
      `varve runs, after ${(totalMs / 1000).toFixed(1)} s`,
      '',
      ...(failure === undefined ? [] : [`  main has no server: ${failure.message}`]),
      ...(url === null ? [] : [`  PostgreSQL  ${bold(url)}`]),
      `  API         ${api}${CONTROL_API} (token: ${directory}/keys/api-token)`,
      ...databaseLines(database, steps),
      '',
      'Three things to try:',
      ...tries.map((text) => `  npx ${text}${suffix}`),
      '',
    ].join('\n'),
  );
}

/** Where the control plane's state is, where that is not in the directory: somebody may not have thought of it. */
function databaseLines(
  database: SystemOptions['database'],
  steps: NonNullable<RunningSystem['ready']>['steps'],
): string[] {
  if (database === undefined || steps.some(({ step }) => step === OWN_DATABASE_STEP)) return [];
  const source = database.isMeant ? '' : ', as DATABASE_URL says';
  return [`  State       in ${maskSecrets(database.url)}${source}`];
}

const isDatabaseForeign = (command: Command): boolean => isForeign(originOf(command, 'database-url'));

function toOptions({ version }: CliContext, flags: StartFlags, command: Command): SystemOptions {
  if (flags.safekeepers > SAFEKEEPERS_MAX) {
    throw new BadRequestError('INVALID_ARGUMENT', `--safekeepers: ${SAFEKEEPERS_MAX} at most`);
  }
  return {
    directory: resolveDirectory(flags.dir),
    postgresMajor: flags.pg,
    listen: { host: flags.host, port: flags.port ?? POSTGRES_PORT },
    isPortGiven: flags.port !== undefined,
    apiPort: flags.apiPort ?? API_PORT,
    isApiPortGiven: flags.apiPort !== undefined,
    safekeepers: flags.safekeepers,
    objectStore: flags.s3,
    hasProcesses: flags.processes === true,
    binDirectory: flags.pgBin === undefined ? undefined : resolveDirectory(flags.pgBin),
    database:
      flags.databaseUrl === undefined
        ? undefined
        : { url: flags.databaseUrl, isMeant: !isDatabaseForeign(command) },
    suspendAfterSeconds: Math.ceil(flags.suspendAfter / 1000),
    version,
    logLevel: flags.logLevel,
  };
}

/** The same start, for another process. */
function argumentsOf(
  flags: StartFlags,
  { directory, binDirectory }: SystemOptions,
  command: Command,
): string[] {
  return [
    ...configurationArguments(command),
    ...['start', '--dir', directory, '--pg', String(flags.pg), '--host', flags.host],
    ...(flags.port === undefined ? [] : ['--port', String(flags.port)]),
    ...(flags.apiPort === undefined ? [] : ['--api-port', String(flags.apiPort)]),
    ...['--safekeepers', String(flags.safekeepers), '--suspend-after', `${flags.suspendAfter}ms`],
    ...(flags.s3 === undefined ? [] : ['--s3', formatObjectLocation(flags.s3)]),
    ...(binDirectory === undefined ? [] : ['--pg-bin', binDirectory]),
    ...(flags.processes === true ? ['--processes'] : []),
    ...['--log-level', flags.logLevel],
  ];
}
