import { type Command, InvalidArgumentError, Option } from 'commander';
import { BadRequestError } from '../../base/errors.ts';
import { checkMembership, type SafekeeperAddress } from '../../contracts/membership.ts';
import { formatAddress } from '../../io/format-address.ts';
import type { ObjectLocation } from '../../io/object-location.ts';
import type { PageserverOptions, PageserverService } from '../../pageserver/main.ts';
import type { CliContext } from '../context.ts';
import {
  LOG_LEVELS,
  type LogLevel,
  parseAddress,
  parseHttpUrl,
  parseNodeId,
  parsePositive,
  parseSafekeepers,
  parseSize,
  parseStore,
} from '../option-values.ts';

type Address = PageserverOptions['listenPg'];

/** More than any machine has. */
const CACHE_BYTES_MAX = 1024 ** 4;

interface PageserverFlags {
  readonly id: number;
  readonly dir: string;
  readonly listenPg: Address;
  readonly listenHttp: Address;
  readonly safekeepers?: readonly SafekeeperAddress[];
  readonly s3?: ObjectLocation;
  readonly pgAuthPublicKeyPath?: string;
  readonly httpAuthPublicKeyPath?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
  readonly authTokenPath?: string;
  readonly controlPlaneUrl?: string;
  readonly controlPlaneTokenPath?: string;
  readonly insecureListen?: true;
  readonly pageCacheSize?: number;
  readonly blockCacheSize?: number;
  readonly backgroundJobs?: number;
  readonly ioEngine: PageserverOptions['filesEngine'];
  readonly maxFileDescriptors?: number;
  readonly pgBin?: string;
  readonly logLevel: LogLevel;
}

export function registerPageserver(program: Command, context: CliContext): void {
  program
    .command('pageserver')
    .description('run a pageserver: it makes layers of committed WAL, and serves any page at any LSN')
    .requiredOption('--id <n>', 'its number, from 1', parseNodeId)
    .requiredOption('--dir <directory>', 'everything local is below it; made if it is not there')
    .requiredOption('--listen-pg <host:port>', 'where computes ask for pages (libpq)', parseAddress)
    .requiredOption('--listen-http <host:port>', 'the HTTP API and the metrics', parseAddress)
    .option('--safekeepers <id=host:port,…>', 'who keeps the WAL of the timelines', parseSafekeepers)
    .option(
      '--s3 <url>',
      'object store: s3://bucket/prefix?endpoint=…&region=… or file:///directory (the directory `bucket` in --dir)',
      parseStore,
    )
    .option(
      '--pg-auth-public-key-path <path>',
      'Ed25519 public keys (PEM file, or directory of such): ask for tokens at the libpq door',
    )
    .option('--http-auth-public-key-path <path>', 'likewise: ask for tokens at the HTTP door')
    .option('--tls-cert <file>', 'PEM: all doors speak TLS, and nothing else')
    .option('--tls-key <file>', "PEM: the certificate's private key")
    .option('--tls-ca <file>', 'PEM: whom to believe of the safekeepers (what Node.js believes)')
    .option('--auth-token-path <file>', 'its own token, for safekeepers that ask for one')
    .option(
      '--control-plane-url <url>',
      'who gives generations to the tenants here (a local file: it works alone)',
      parseHttpUrl,
    )
    .option('--control-plane-token-path <file>', 'its own token for that, of the scope generations_api')
    .option(
      '--insecure-listen',
      'let in everybody on a network that is not this machine’s own, without tokens',
    )
    .option('--page-cache-size <size>', 'memory for pages that were served (128MB)', parseCacheSize)
    .option('--block-cache-size <size>', 'memory for blocks of layer files (256MB)', parseCacheSize)
    .option('--background-jobs <n>', 'compactions and the like at once (1)', parsePositive)
    .addOption(
      new Option('--io-engine <engine>', 'how layer files are read and written')
        .choices(['portable', 'direct'])
        .default('portable'),
    )
    .option('--max-file-descriptors <n>', 'for layer files, open at once (4096)', parsePositive)
    .option('--pg-bin <directory>', 'PostgreSQL’s programs, for new clusters (those that npm brings)')
    .addOption(new Option('--log-level <level>', 'to standard error').choices(LOG_LEVELS).default('info'))
    .addHelpText(
      'after',
      '\nPrints one line with the addresses when it serves, and logs JSON lines to standard error. SIGTERM or SIGINT closes' +
        '\nit in order, a second one at once. See docs/pageserver.md.',
    )
    .action((flags: PageserverFlags) => run(context, flags));
}

async function run(context: CliContext, flags: PageserverFlags): Promise<void> {
  const options = toOptions(flags, context.version);
  // Loaded only here: no other command needs its megabytes.
  const { runPageserver } = await import('../../pageserver/main.ts');
  await runPageserver(options, flags.logLevel, (service) => announce(context, flags.id, service));
}

async function announce(
  { isJson, output }: CliContext,
  id: number,
  { addresses: { pg, http }, directory }: PageserverService,
): Promise<void> {
  if (isJson) await output.writeJson({ id, directory, pg, http });
  else
    await output.write(
      `pageserver ${id} serves libpq on ${formatAddress(pg)}, HTTP on ${formatAddress(http)}\n`,
    );
}

function toOptions(flags: PageserverFlags, version: string): PageserverOptions {
  const { tlsCert, tlsKey, pgAuthPublicKeyPath, httpAuthPublicKeyPath, s3, safekeepers = [] } = flags;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new BadRequestError('MISSING_ARGUMENT', '--tls-cert and --tls-key go together');
  }
  checkMembership({ generation: 0, members: safekeepers, newMembers: undefined });
  return {
    nodeId: flags.id,
    directory: flags.dir,
    version,
    listenPg: flags.listenPg,
    listenHttp: flags.listenHttp,
    safekeepers,
    filesEngine: flags.ioEngine,
    ...(pgAuthPublicKeyPath === undefined ? {} : { pgTokenKeysPath: pgAuthPublicKeyPath }),
    ...(httpAuthPublicKeyPath === undefined ? {} : { httpTokenKeysPath: httpAuthPublicKeyPath }),
    ...(tlsCert === undefined || tlsKey === undefined
      ? {}
      : { tls: { certificatePath: tlsCert, privateKeyPath: tlsKey } }),
    ...(s3 === undefined ? {} : { objectStore: s3 }),
    ...(flags.tlsCa === undefined ? {} : { safekeeperAuthoritiesPath: flags.tlsCa }),
    ...(flags.authTokenPath === undefined ? {} : { tokenPath: flags.authTokenPath }),
    ...(flags.controlPlaneUrl === undefined ? {} : { controlPlaneUrl: flags.controlPlaneUrl }),
    ...(flags.controlPlaneTokenPath === undefined
      ? {}
      : { controlPlaneTokenPath: flags.controlPlaneTokenPath }),
    ...(flags.pageCacheSize === undefined ? {} : { pageCacheBytes: flags.pageCacheSize }),
    ...(flags.blockCacheSize === undefined ? {} : { blockCacheBytes: flags.blockCacheSize }),
    ...(flags.backgroundJobs === undefined ? {} : { backgroundJobsMax: flags.backgroundJobs }),
    ...(flags.maxFileDescriptors === undefined ? {} : { descriptorsMax: flags.maxFileDescriptors }),
    ...(flags.pgBin === undefined ? {} : { postgresBinDirectory: flags.pgBin }),
    allowsInsecureListen: flags.insecureListen === true,
  };
}

function parseCacheSize(text: string): number {
  const bytes = parseSize(text);
  if (bytes > CACHE_BYTES_MAX) throw new InvalidArgumentError('The most is 1024GB.');
  return bytes;
}
