import { type Command, InvalidArgumentError, Option } from 'commander';
import { BadRequestError } from '../../base/errors.ts';
import type { ControlNode } from '../../contracts/control-api-status.ts';
import type { ControlOptions } from '../../control/main.ts';
import { formatAddress } from '../../io/format-address.ts';
import type { CliContext } from '../context.ts';
import {
  LOG_LEVELS,
  type LogLevel,
  parseAddress,
  parseCount,
  parseNodeId,
  parsePositive,
} from '../option-values.ts';

type Address = ControlOptions['listen'];
type NodePlace = Pick<ControlNode, 'id' | 'pgHost' | 'pgPort' | 'httpUrl'>;

interface ControlFlags {
  readonly databaseUrl?: string;
  readonly listen: Address;
  readonly pageservers?: readonly NodePlace[];
  readonly safekeepers?: readonly NodePlace[];
  readonly timelineSafekeepers?: number;
  readonly suspendAfter?: number;
  readonly authPublicKeyPath?: string;
  readonly pageserverTokenPath?: string;
  readonly safekeeperTokenPath?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
  readonly insecureListen?: true;
  readonly logLevel: LogLevel;
}

export function registerControl(program: Command, context: CliContext): void {
  program
    .command('control')
    .description('run a control plane: projects, branches, endpoints, and which node has what')
    .option('--database-url <url>', 'postgres://… of the database that its state is in (DATABASE_URL)')
    .requiredOption('--listen <host:port>', 'the HTTP API', parseAddress)
    .option('--pageservers <id=host:port/httpport,…>', 'nodes that are known to it from now on', parseNodes)
    .option('--safekeepers <id=host:port/httpport,…>', 'likewise', parseNodes)
    .option('--timeline-safekeepers <n>', 'how many keep the WAL of a new timeline (3)', parsePositive)
    .option(
      '--suspend-after <seconds>',
      'of idling, for endpoints that do not say; 0: never (300)',
      parseCount,
    )
    .option(
      '--auth-public-key-path <path>',
      'Ed25519 public keys (PEM file, or directory of such): ask for tokens of the scope admin, of pageservers generations_api',
    )
    .option('--pageserver-token-path <file>', 'its own token for pageservers, of the scope pageserverapi')
    .option('--safekeeper-token-path <file>', 'its own token for safekeepers, of the scope safekeeperdata')
    .option('--tls-cert <file>', 'PEM: it speaks TLS, and nothing else')
    .option('--tls-key <file>', "PEM: the certificate's private key")
    .option('--tls-ca <file>', 'PEM: whom to believe of the nodes, which are then spoken to over TLS')
    .option(
      '--insecure-listen',
      'let in everybody on a network that is not this machine’s own, without tokens',
    )
    .addOption(new Option('--log-level <level>', 'to standard error').choices(LOG_LEVELS).default('info'))
    .addHelpText(
      'after',
      '\nPrints one line with the address when it serves, and logs JSON lines to standard error. SIGTERM or SIGINT closes' +
        '\nit in order, a second one at once. It runs no computes: see “varve compute”. See docs/control.md.',
    )
    .action((flags: ControlFlags) => run(context, flags));
}

async function run({ version, isJson, output }: CliContext, flags: ControlFlags): Promise<void> {
  const { databaseUrl } = flags;
  if (databaseUrl === undefined) {
    throw new BadRequestError('MISSING_ARGUMENT', 'give --database-url, or set DATABASE_URL');
  }
  const options = { ...toOptions(flags, version), database: { url: databaseUrl } };
  const credentials = {
    ...(flags.pageserverTokenPath === undefined ? {} : { pageserverTokenPath: flags.pageserverTokenPath }),
    ...(flags.safekeeperTokenPath === undefined ? {} : { safekeeperTokenPath: flags.safekeeperTokenPath }),
    ...(flags.tlsCa === undefined ? {} : { authoritiesPath: flags.tlsCa }),
  };
  // Loaded only here: no other command needs its megabytes.
  const { runControl } = await import('../../control/main.ts');
  await runControl(options, credentials, flags.logLevel, async ({ address }) => {
    if (isJson) await output.writeJson({ http: address });
    else await output.write(`the control plane serves HTTP on ${formatAddress(address)}\n`);
  });
}

function toOptions(flags: ControlFlags, version: string): ControlOptions {
  const { tlsCert, tlsKey, tlsCa, authPublicKeyPath } = flags;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new BadRequestError('MISSING_ARGUMENT', '--tls-cert and --tls-key go together');
  }
  const nodesOf = (kind: ControlNode['kind'], places: readonly NodePlace[] = []): ControlNode[] =>
    places.map((place) => ({
      ...place,
      kind,
      httpUrl: `${tlsCa === undefined ? 'http' : 'https'}://${place.httpUrl}`,
      isSchedulable: true,
    }));
  return {
    version,
    listen: flags.listen,
    nodes: [...nodesOf('pageserver', flags.pageservers), ...nodesOf('safekeeper', flags.safekeepers)],
    ...(authPublicKeyPath === undefined ? {} : { tokenKeysPath: authPublicKeyPath }),
    ...(tlsCert === undefined || tlsKey === undefined
      ? {}
      : { tls: { certificatePath: tlsCert, privateKeyPath: tlsKey } }),
    allowsInsecureListen: flags.insecureListen === true,
    settings: {
      ...(flags.timelineSafekeepers === undefined
        ? {}
        : { safekeepersPerTimeline: flags.timelineSafekeepers }),
      ...(flags.suspendAfter === undefined ? {} : { suspendAfterSeconds: flags.suspendAfter }),
    },
  };
}

/** `ID=HOST:PORT/HTTPPORT`, several with commas between. The URL is without its protocol. */
function parseNodes(text: string): NodePlace[] {
  return text.split(',').map((item) => {
    const match = /^([0-9]{1,10})=(.+)\/([0-9]{1,5})$/.exec(item);
    if (match === null) {
      throw new InvalidArgumentError('Write ID=HOST:PORT/HTTPPORT, several with commas between.');
    }
    const { host, port } = parseAddress(match[2] as string);
    return {
      id: parseNodeId(match[1] as string),
      pgHost: host,
      pgPort: port,
      httpUrl: formatAddress({ host, port: Number(match[3]) }),
    };
  });
}
