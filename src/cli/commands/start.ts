import type { Command } from 'commander';
import { Option } from 'commander';
import { BadRequestError } from '../../base/errors.ts';
import { CONTROL_API } from '../../contracts/control-api.ts';
import { formatObjectLocation, type ObjectLocation } from '../../io/object-location.ts';
import type { RunningSystem, SystemOptions } from '../../system/main.ts';
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

const POSTGRES_PORT = 5432;
const API_PORT = 5480;
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
    .option(
      '--suspend-after <time>',
      'ends a compute that has idled for so long; 0s: never',
      parseDuration,
      300_000,
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
    .action((flags: StartFlags) => run(context, flags));
}

async function run(context: CliContext, flags: StartFlags): Promise<void> {
  const options = toOptions(context, flags);
  // Loaded only here: no other command needs it.
  const { runSystem, startDetached } = await import('../../system/main.ts');
  if (flags.detach === true) {
    await announce(
      context,
      options.directory,
      await startDetached(options.directory, argumentsOf(flags, options)),
    );
    return;
  }
  const progress = new StartProgress(context);
  try {
    await runSystem(options, {
      onBegin: (step) => progress.begin(step),
      onEnd: (finished) => progress.end(finished),
      onTick: () => progress.tick(),
      onReady: async ({ url, api, steps, totalMs }) => {
        progress.clear();
        await announce(context, options.directory, { url: url ?? null, api, steps: [...steps], totalMs });
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
  directory: string,
  { url, api, steps, totalMs }: NonNullable<RunningSystem['ready']>,
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
    });
    return;
  }
  const bold = (text: string): string => (output.isTerminal ? `\x1b[1m${text}\x1b[0m` : text);
  const tries =
    url === null
      ? ['varve project create NAME', 'varve project list', 'varve status']
      : ['varve connect main', 'varve branch create my-branch', 'varve status'];
  const isDefault = directory === resolveDirectory(DIRECTORY_DEFAULT);
  const suffix = isDefault ? '' : ` --dir ${directory}`;
  await output.write(
    [
      `varve runs, after ${(totalMs / 1000).toFixed(1)} s`,
      '',
      ...(url === null ? [] : [`  PostgreSQL  ${bold(url)}`]),
      `  API         ${api}${CONTROL_API} (token: ${directory}/keys/api-token)`,
      '',
      'Three things to try:',
      ...tries.map((text) => `  npx ${text}${suffix}`),
      '',
    ].join('\n'),
  );
}

function toOptions({ version }: CliContext, flags: StartFlags): SystemOptions {
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
    suspendAfterSeconds: Math.ceil(flags.suspendAfter / 1000),
    version,
    logLevel: flags.logLevel,
  };
}

/** The same start, for another process. */
function argumentsOf(flags: StartFlags, { directory }: SystemOptions): string[] {
  return [
    ...['start', '--dir', directory, '--pg', String(flags.pg), '--host', flags.host],
    ...(flags.port === undefined ? [] : ['--port', String(flags.port)]),
    ...(flags.apiPort === undefined ? [] : ['--api-port', String(flags.apiPort)]),
    ...['--safekeepers', String(flags.safekeepers), '--suspend-after', `${flags.suspendAfter}ms`],
    ...(flags.s3 === undefined ? [] : ['--s3', formatObjectLocation(flags.s3)]),
    ...(flags.processes === true ? ['--processes'] : []),
    ...['--log-level', flags.logLevel],
  ];
}
