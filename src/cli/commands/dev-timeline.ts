import { type Command, InvalidArgumentError } from 'commander';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../base/ids.ts';
import { formatLsn } from '../../base/lsn.ts';
import type { CreatedTimeline, DevTimelineArguments } from '../../dev/main.ts';
import type { CliContext } from '../context.ts';
import { parseAddress, parseCount, parseIdOption, parseNodeId, readToken } from '../option-values.ts';

const MAJOR_DEFAULT = 17;
const PORT_MAX = 0xffff;

type Safekeepers = DevTimelineArguments['safekeepers'];

interface CreateFlags {
  readonly pageserver: string;
  readonly safekeepers: Safekeepers;
  readonly tenant?: TenantId;
  readonly timeline?: TimelineId;
  readonly pgVersion: number;
  readonly authTokenPath?: string;
  readonly safekeeperAuthTokenPath?: string;
  readonly tlsCa?: string;
}

export function registerDevTimeline(dev: Command, context: CliContext): void {
  const timeline = dev.command('timeline').description('timelines, without a control plane');
  timeline
    .command('create')
    .description('make a timeline of a new cluster, on a pageserver and on safekeepers')
    .requiredOption(
      '--pageserver <url>',
      'of its HTTP API: http://127.0.0.1:9898; with https the safekeepers have to speak it too',
      parseUrl,
    )
    .requiredOption(
      '--safekeepers <id=host:pg-port/http-port,…>',
      'who is to keep its WAL',
      parseSafekeepersWithHttp,
    )
    .option('--tenant <id>', '32 hexadecimal digits (made up)', (text) => parseIdOption(parseTenantId, text))
    .option('--timeline <id>', '32 hexadecimal digits (made up)', (text) =>
      parseIdOption(parseTimelineId, text),
    )
    .option('--pg-version <major>', 'of PostgreSQL', parseCount, MAJOR_DEFAULT)
    .option('--auth-token-path <file>', 'a token, for services that ask for one')
    .option('--safekeeper-auth-token-path <file>', 'another one, for the safekeepers')
    .option('--tls-ca <file>', 'PEM: whom to believe of them (what Node.js believes)')
    .addHelpText(
      'after',
      '\nPrints the ids, and the LSN where its WAL goes on. May be repeated with the same ids. See docs/pageserver.md.',
    )
    .action((flags: CreateFlags) => create(context, flags));
}

async function create(context: CliContext, flags: CreateFlags): Promise<void> {
  const { tenant, timeline, authTokenPath, safekeeperAuthTokenPath = authTokenPath, tlsCa } = flags;
  const { createDevTimeline } = await import('../../dev/main.ts');
  const isTold = context.diagnostics.isTerminal && !context.isJson;
  if (isTold)
    context.diagnostics.write('making the timeline; the first one of a pageserver takes some seconds…\n');
  const made = await createDevTimeline(
    {
      pageserverUrl: flags.pageserver,
      safekeepers: flags.safekeepers,
      major: flags.pgVersion,
      ...(tenant === undefined ? {} : { tenantId: tenant }),
      ...(timeline === undefined ? {} : { timelineId: timeline }),
      ...(authTokenPath === undefined ? {} : { token: () => readToken(context.files, authTokenPath) }),
      ...(safekeeperAuthTokenPath === undefined
        ? {}
        : { safekeeperToken: () => readToken(context.files, safekeeperAuthTokenPath) }),
      ...(tlsCa === undefined ? {} : { authoritiesPath: tlsCa }),
    },
    new AbortController().signal,
  );
  await report(context, made);
}

async function report({ isJson, output }: CliContext, made: CreatedTimeline): Promise<void> {
  const { tenantId, timelineId } = made;
  const lsn = formatLsn(made.lsn);
  if (isJson) await output.writeJson({ tenantId, timelineId, lsn });
  else await output.write(`tenant    ${tenantId}\ntimeline  ${timelineId}\nlsn       ${lsn}\n`);
}

function parseUrl(text: string): string {
  if (!/^https?:\/\/[^/?#@]+$/.test(text) || !URL.canParse(text)) {
    throw new InvalidArgumentError('Write http://HOST:PORT, or https.');
  }
  return text;
}

function parseSafekeepersWithHttp(text: string): Safekeepers {
  return text.split(',').map((item) => {
    const match = /^([0-9]{1,10})=(.+)\/([0-9]{1,5})$/.exec(item);
    if (match === null) {
      throw new InvalidArgumentError('Write ID=HOST:PG-PORT/HTTP-PORT, several with commas between.');
    }
    const [, id, address, httpPortText] = match as unknown as [string, string, string, string];
    const { host, port } = parseAddress(address);
    const httpPort = Number(httpPortText);
    if (httpPort > PORT_MAX) throw new InvalidArgumentError(`There is no port ${httpPort}.`);
    return { id: parseNodeId(id), host, pgPort: port, httpPort };
  });
}
