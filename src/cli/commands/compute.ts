import { type Command, InvalidArgumentError, Option } from 'commander';
import { BadRequestError, VarveError } from '../../base/errors.ts';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../base/ids.ts';
import { parseInstant } from '../../base/instant.ts';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import type { Compute, ComputeArguments } from '../../compute/main.ts';
import { checkMembership, type SafekeeperAddress } from '../../contracts/membership.ts';
import { isSegmentSize, SEGMENT_BYTES_DEFAULT } from '../../postgres/wal/page-header.ts';
import type { CliContext } from '../context.ts';
import {
  LOG_LEVELS,
  type LogLevel,
  parseAddress,
  parseCount,
  parseDuration,
  parseIdOption,
  parseLsnOption,
  parseSafekeepers,
  parseSize,
  readToken,
} from '../option-values.ts';
import { Progress } from '../progress.ts';

type Point = { readonly lsn: Lsn } | { readonly timeMicros: bigint };
type Address = ComputeArguments['listen'];

interface ComputeFlags {
  readonly tenant: TenantId;
  readonly timeline: TimelineId;
  readonly pageserver: Address;
  readonly safekeepers: readonly SafekeeperAddress[];
  readonly generation: number;
  readonly dir: string;
  readonly listen: Address;
  readonly pg: number;
  readonly pgBin?: string;
  readonly spec?: string;
  readonly set: Readonly<Record<string, string>>;
  readonly segmentSize: number;
  readonly storageWait: number;
  readonly diskBudget?: number;
  readonly diskWait: number;
  readonly readOnly?: true;
  readonly at?: Point;
  readonly standby?: true;
  readonly fill?: true;
  readonly authTokenPath?: string;
  readonly logLevel: LogLevel;
}

export function registerCompute(program: Command, context: CliContext): void {
  program
    .command('compute')
    .description(
      'run a stock PostgreSQL on a branch: it begins where storage ends, and keeps nothing of its own',
    )
    .requiredOption('--tenant <id>', '32 hexadecimal digits', (text) => parseIdOption(parseTenantId, text))
    .requiredOption('--timeline <id>', '32 hexadecimal digits', (text) =>
      parseIdOption(parseTimelineId, text),
    )
    .requiredOption('--pageserver <host:port>', 'who serves its pages (libpq)', parseAddress)
    .requiredOption('--safekeepers <id=host:port,…>', 'who keeps its WAL', parseSafekeepers)
    .requiredOption('--dir <directory>', 'for files that are worth nothing when it has ended')
    .option(
      '--generation <n>',
      'of the configuration that names the safekeepers; 0: there is none',
      parseCount,
      0,
    )
    .addOption(
      new Option('--listen <host:port>', 'where clients connect to; port 0 takes a free one')
        .argParser(parseAddress)
        .default({ host: '127.0.0.1', port: 5432 }, '127.0.0.1:5432'),
    )
    .option('--read-only', 'a server that reads the branch as of an LSN or a time, and cannot write')
    .option(
      '--at <lsn-or-time>',
      'with --read-only: as of where, or when (ISO 8601, with its zone)',
      parsePoint,
    )
    .option('--standby', 'a server that follows the branch as safekeepers commit it, and cannot write')
    .option('--fill', 'bring all pages before the start, not when they are first read')
    .option('--pg <major>', 'version of PostgreSQL that the branch is of', parseCount, 17)
    .option('--pg-bin <directory>', 'PostgreSQL’s programs (those that npm brings)')
    .option('--spec <file>', 'JSON: settings, roles, databases and more of the server; see docs/compute.md')
    .addOption(
      new Option('--set <name=value>', 'a setting of the server; may be repeated')
        .argParser(collectSetting)
        .default({}, 'none'),
    )
    .option('--segment-size <bytes>', 'of the WAL', parseSegmentBytes, SEGMENT_BYTES_DEFAULT)
    .addOption(
      new Option('--storage-wait <time>', 'give up a start that storage has not brought by then')
        .argParser(parseDuration)
        .default(60_000, '1m'),
    )
    .option('--disk-budget <size>', 'what local files may take (80% of what is free at the start)', parseSize)
    .addOption(
      new Option(
        '--disk-wait <time>',
        'how long writing is slow for want of room on the disk, before the server begins anew',
      )
        .argParser(parseDuration)
        .default(30_000, '30s'),
    )
    .option('--auth-token-path <file>', 'a token, for a pageserver and safekeepers that ask for one')
    .addOption(new Option('--log-level <level>', 'to standard error').choices(LOG_LEVELS).default('warn'))
    .addHelpText(
      'after',
      '\nPrints a line whenever the server lets clients in, and one at the end. SIGTERM or SIGINT ends it in order, a second one' +
        '\nat once. Ends with 7 when a later compute of the branch has taken over. See docs/compute.md.',
    )
    .action((flags: ComputeFlags) => run(context, flags));
}

async function run(context: CliContext, flags: ComputeFlags): Promise<void> {
  // Loaded only here: no other command needs it.
  const { runComputeUntilStopped } = await import('../../compute/main.ts');
  const progress = new Progress(context, 'filling');
  const lsn = await runComputeUntilStopped(toOptions(context, flags), flags.logLevel, {
    onReady: (compute, listen) => {
      progress.clear();
      return announce(context, compute, listen);
    },
    onRestart: (reason, delayMs) =>
      context.diagnostics.write(`the compute starts again in ${Math.round(delayMs)} ms: ${reason.message}\n`),
    onFill: (filled, total) => progress.report(filled, total),
  });
  if (context.isJson) await context.output.writeJson({ event: 'stopped', lsn: formatLsn(lsn) });
  else await context.output.write(`stopped at ${formatLsn(lsn)}\n`);
}

async function announce(
  { isJson, output }: CliContext,
  { startLsn, term, pid, steps }: Compute,
  { host, port }: Address,
): Promise<void> {
  const url = `postgres://postgres@${host.includes(':') ? `[${host}]` : host}:${port}/postgres`;
  const total = steps.reduce((sum, { ms }) => sum + ms, 0);
  if (isJson) {
    const times = Object.fromEntries(steps.map(({ step, ms }) => [step, Math.round(ms * 100) / 100]));
    await output.writeJson({
      event: 'ready',
      url,
      port,
      pid,
      term,
      startLsn: formatLsn(startLsn),
      steps: times,
    });
  } else {
    const split = steps.map(({ step, ms }) => `${step} ${ms.toFixed(0)}`).join(', ');
    await output.write(
      `${url} runs from ${formatLsn(startLsn)} on, after ${total.toFixed(0)} ms (${split})\n`,
    );
  }
}

function toOptions({ files }: CliContext, flags: ComputeFlags): ComputeArguments {
  const { safekeepers, generation, authTokenPath } = flags;
  const membership = { generation, members: safekeepers, newMembers: undefined };
  checkMembership(membership);
  const token = authTokenPath === undefined ? undefined : () => readToken(files, authTokenPath);
  return {
    tenantId: flags.tenant,
    timelineId: flags.timeline,
    mode: parseMode(flags),
    membership,
    pageserver: { address: flags.pageserver, ...(token === undefined ? {} : { token }) },
    ...(token === undefined ? {} : { safekeeperToken: token }),
    directory: flags.dir,
    ...(flags.pgBin === undefined ? {} : { binDirectory: flags.pgBin }),
    postgresMajor: flags.pg,
    listen: flags.listen,
    walSegmentBytes: flags.segmentSize,
    ...(flags.spec === undefined ? {} : { specPath: flags.spec }),
    settings: flags.set,
    isFilledFirst: flags.fill === true,
    storageWaitMs: flags.storageWait,
    ...(flags.diskBudget === undefined ? {} : { diskBudgetBytes: flags.diskBudget }),
    diskWaitMs: flags.diskWait,
  };
}

function parseMode({ readOnly, at, standby }: ComputeFlags): ComputeArguments['mode'] {
  if (standby === true) {
    if (readOnly === undefined && at === undefined) return { kind: 'standby' };
    throw new BadRequestError('BAD_ARGUMENT', '--standby goes without --read-only and --at');
  }
  if ((readOnly === undefined) !== (at === undefined)) {
    throw new BadRequestError('MISSING_ARGUMENT', '--read-only and --at go together');
  }
  return at === undefined ? { kind: 'primary' } : { kind: 'read-only', ...at };
}

/** An LSN has a slash, and a time has none. */
function parsePoint(text: string): Point {
  if (text.includes('/')) return { lsn: parseLsnOption(text) };
  try {
    return { timeMicros: parseInstant(text) };
  } catch (error) {
    if (!(error instanceof VarveError)) throw error;
    throw new InvalidArgumentError(
      'Write an LSN as two hexadecimal halves (0/16B5A50), or a time with its zone (2026-03-01T12:00:00Z).',
    );
  }
}

function collectSetting(text: string, former: Readonly<Record<string, string>>): Record<string, string> {
  const match = /^([A-Za-z_][A-Za-z0-9_.]*)=(.*)$/s.exec(text);
  if (match === null) throw new InvalidArgumentError('Write NAME=VALUE.');
  return { ...former, [match[1] as string]: match[2] as string };
}

function parseSegmentBytes(text: string): number {
  const bytes = parseCount(text);
  if (!isSegmentSize(bytes)) throw new InvalidArgumentError('Write a power of two from 1 MiB to 1 GiB.');
  return bytes;
}
