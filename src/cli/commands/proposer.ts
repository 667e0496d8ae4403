import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../base/ids.ts';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import { checkMembership, type SafekeeperAddress } from '../../contracts/membership.ts';
import { isSegmentSize, SEGMENT_BYTES_DEFAULT } from '../../postgres/wal/page-header.ts';
import type { Position, TimelineArguments } from '../../proposer/main.ts';
import type { CliContext } from '../context.ts';
import {
  LOG_LEVELS,
  type LogLevel,
  parseCount,
  parseIdOption,
  parseLsnOption,
  parseSafekeepers,
  readToken,
} from '../option-values.ts';

interface TimelineFlags {
  readonly tenant: TenantId;
  readonly timeline: TimelineId;
  readonly safekeepers: readonly SafekeeperAddress[];
  readonly generation: number;
  readonly authTokenPath?: string;
  readonly logLevel: LogLevel;
}

interface SyncFlags extends TimelineFlags {
  readonly segmentSize: number;
}

interface RunFlags extends TimelineFlags {
  readonly postgres: string;
  readonly applicationName: string;
  readonly slot?: string;
  readonly initialLsn?: Lsn;
}

/** Adds what all commands of a proposer have. */
function addTimelineOptions(command: Command): Command {
  return command
    .requiredOption('--tenant <id>', '32 hexadecimal digits', (text) => parseIdOption(parseTenantId, text))
    .requiredOption('--timeline <id>', '32 hexadecimal digits', (text) =>
      parseIdOption(parseTimelineId, text),
    )
    .requiredOption('--safekeepers <id=host:port,…>', 'who keeps the WAL', parseSafekeepers)
    .option('--generation <n>', 'of the configuration that names them; 0: there is none', parseCount, 0)
    .option('--auth-token-path <file>', 'a token, for safekeepers that ask for one')
    .addOption(new Option('--log-level <level>', 'to standard error').choices(LOG_LEVELS).default('warn'));
}

export function registerProposer(proposer: Command, context: CliContext): void {
  addTimelineOptions(proposer.command('sync'))
    .description('hold an election among safekeepers: prints where the WAL of a new compute begins')
    .option('--segment-size <bytes>', 'of the WAL', parseSegmentBytes, SEGMENT_BYTES_DEFAULT)
    .addHelpText(
      'after',
      '\nWhoever was elected before is fenced. Prints 0/0 if nothing was ever written to the timeline.',
    )
    .action((flags: SyncFlags) => sync(context, flags));
  addTimelineOptions(proposer.command('run'))
    .description("take a running server's WAL to safekeepers, as its synchronous standby")
    .requiredOption('--postgres <conninfo>', 'as libpq has it: "host=/tmp port=5432 user=postgres"')
    .option('--application-name <name>', 'the name in synchronous_standby_names', 'varve')
    .option('--slot <name>', 'a physical replication slot')
    .option(
      '--initial-lsn <lsn>',
      'where an empty log begins; by default where the server is',
      parseLsnOption,
    )
    .addHelpText(
      'after',
      '\nPrints a line when it is elected, and one at the end. SIGTERM or SIGINT ends it when all WAL that has come is' +
        '\ncommitted, a second one at once. Ends with 7 when it is fenced: the server must then be stopped at once.',
    )
    .action((flags: RunFlags) => run(context, flags));
}

async function sync(context: CliContext, flags: SyncFlags): Promise<void> {
  // Loaded only here: no other command needs it.
  const { syncSafekeepers } = await import('../../proposer/main.ts');
  const { term, lsn } = await syncSafekeepers({
    ...timelineArguments(context, flags),
    segmentBytes: flags.segmentSize,
  });
  if (context.isJson) await context.output.writeJson({ term, lsn: formatLsn(lsn) });
  else await context.output.write(`${formatLsn(lsn)}\n`);
}

async function run(context: CliContext, flags: RunFlags): Promise<void> {
  const { runProposer } = await import('../../proposer/main.ts');
  const { postgres, applicationName, slot, initialLsn } = flags;
  const end = await runProposer(
    {
      ...timelineArguments(context, flags),
      postgres,
      applicationName,
      ...(slot === undefined ? {} : { slot }),
      ...(initialLsn === undefined ? {} : { initialLsn }),
    },
    (start) => report(context, 'elected', start),
  );
  await report(context, 'finished', end);
}

async function report(
  { isJson, output }: CliContext,
  event: 'elected' | 'finished',
  { term, lsn }: Position,
): Promise<void> {
  if (isJson) await output.writeJson({ event, term, lsn: formatLsn(lsn) });
  else await output.write(`${event} in term ${term} at ${formatLsn(lsn)}\n`);
}

function timelineArguments({ files }: CliContext, flags: TimelineFlags): TimelineArguments {
  const { tenant, timeline, safekeepers, generation, authTokenPath, logLevel } = flags;
  const membership = { generation, members: safekeepers, newMembers: undefined };
  checkMembership(membership);
  return {
    tenantId: tenant,
    timelineId: timeline,
    membership,
    // Read anew for each connection: tokens are replaced before they expire.
    ...(authTokenPath === undefined ? {} : { password: () => readToken(files, authTokenPath) }),
    logLevel,
  };
}

function parseSegmentBytes(text: string): number {
  const bytes = parseCount(text);
  if (!isSegmentSize(bytes)) throw new InvalidArgumentError('Write a power of two from 1 MiB to 1 GiB.');
  return bytes;
}
