import { type Command, Option } from 'commander';
import { BadRequestError } from '../../base/errors.ts';
import { formatAddress } from '../../io/format-address.ts';
import type { ObjectLocation } from '../../io/object-location.ts';
import type { SafekeeperOptions, SafekeeperService } from '../../safekeeper/main.ts';
import type { CliContext } from '../context.ts';
import {
  LOG_LEVELS,
  type LogLevel,
  parseAddress,
  parseCount,
  parseDuration,
  parseNodeId,
  parsePositive,
  parseStore,
} from '../option-values.ts';

type Address = SafekeeperOptions['listenPg'];

interface SafekeeperFlags {
  readonly id: number;
  readonly dir: string;
  readonly listenPg: Address;
  readonly listenHttp: Address;
  readonly listenPgTenantOnly?: Address;
  readonly s3?: ObjectLocation;
  readonly pgAuthPublicKeyPath?: string;
  readonly httpAuthPublicKeyPath?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
  readonly authTokenPath?: string;
  /** False where `--no-peer-recovery` is given. */
  readonly peerRecovery: boolean;
  readonly insecureListen?: true;
  readonly logLevel: LogLevel;
  readonly partialBackupTimeout?: number;
  readonly walBackupParallelJobs?: number;
  readonly evictionMinResident?: number;
  readonly keepOffloadedWal?: true;
  readonly controlFileSaveInterval?: number;
  readonly idleTimeout?: number;
  /** False where `--no-sync` is given. */
  readonly sync: boolean;
  readonly injectSyncDelayMs?: number;
}

export function registerSafekeeper(program: Command, context: CliContext): void {
  program
    .command('safekeeper')
    .description('run a safekeeper: it votes, keeps WAL durably, and serves it')
    .requiredOption('--id <n>', 'its number in the configurations of timelines, from 1', parseNodeId)
    .requiredOption('--dir <directory>', 'everything that it keeps is below it; made if it is not there')
    .requiredOption(
      '--listen-pg <host:port>',
      'where proposers and readers of WAL connect (libpq)',
      parseAddress,
    )
    .requiredOption('--listen-http <host:port>', 'the HTTP API and the metrics', parseAddress)
    .option(
      '--listen-pg-tenant-only <host:port>',
      'as --listen-pg, for tokens of one tenant only',
      parseAddress,
    )
    .option(
      '--pg-auth-public-key-path <path>',
      'Ed25519 public keys (PEM file, or directory of such): ask for tokens at the libpq doors',
    )
    .option('--http-auth-public-key-path <path>', 'likewise: ask for tokens at the HTTP door')
    .option('--tls-cert <file>', 'PEM: all doors speak TLS, and nothing else')
    .option('--tls-key <file>', "PEM: the certificate's private key")
    .option('--tls-ca <file>', 'PEM: whom to believe of the other safekeepers (what Node.js believes)')
    .option('--auth-token-path <file>', 'its own token, for other safekeepers that ask for one')
    .option('--no-peer-recovery', 'take no WAL from other safekeepers')
    .option(
      '--insecure-listen',
      'let in everybody on a network that is not this machine’s own, without tokens',
    )
    .option(
      '--s3 <url>',
      'object store: s3://bucket/prefix?endpoint=…&region=… or file:///directory',
      parseStore,
    )
    .option(
      '--partial-backup-timeout <time>',
      'upload the unfinished segment of a timeline that has not changed for so long (15m)',
      parseDuration,
    )
    .option('--wal-backup-parallel-jobs <n>', 'uploads under way at once (5)', parsePositive)
    .option(
      '--eviction-min-resident <time>',
      'keep WAL here that was there at the start, or was brought back, for so long (15m)',
      parseDuration,
    )
    .option('--keep-offloaded-wal', 'do not remove local files at eviction, so that they can be looked at')
    .option(
      '--control-file-save-interval <time>',
      'a control file is at most so long behind memory (5m)',
      parseDuration,
    )
    .option(
      '--idle-timeout <time>',
      'let go of a timeline that nobody has used for so long (1m)',
      parseDuration,
    )
    .addOption(new Option('--log-level <level>', 'to standard error').choices(LOG_LEVELS).default('info'))
    .option('--no-sync', 'UNSAFE, for benchmarks: acknowledge WAL that is not on the disk')
    .addOption(
      new Option('--inject-sync-delay-ms <n>', 'for benchmarks and tests: make each sync slower')
        .argParser(parseCount)
        .hideHelp(),
    )
    .addHelpText(
      'after',
      '\nPrints one line with the addresses when it serves, and logs JSON lines to standard error. SIGTERM or SIGINT closes' +
        '\nit in order, a second one at once. See docs/safekeeper.md.',
    )
    .action((flags: SafekeeperFlags) => run(context, flags));
}

async function run(context: CliContext, flags: SafekeeperFlags): Promise<void> {
  const options = toOptions(flags, context.version);
  // Loaded only here: no other command needs its megabytes.
  const { runSafekeeper } = await import('../../safekeeper/main.ts');
  await runSafekeeper(options, flags.logLevel, (service) => announce(context, flags.id, service));
}

async function announce(
  { isJson, output }: CliContext,
  id: number,
  service: SafekeeperService,
): Promise<void> {
  const { pg, http, pgTenantOnly } = service.addresses;
  const { directory } = service.safekeeper.configuration;
  if (isJson) {
    await output.writeJson({
      id,
      directory,
      pg,
      http,
      ...(pgTenantOnly === undefined ? {} : { pgTenantOnly }),
    });
    return;
  }
  const tenantOnly =
    pgTenantOnly === undefined ? '' : `, libpq for one tenant on ${formatAddress(pgTenantOnly)}`;
  await output.write(
    `safekeeper ${id} serves libpq on ${formatAddress(pg)}${tenantOnly}, HTTP on ${formatAddress(http)}\n`,
  );
}

function toOptions(flags: SafekeeperFlags, version: string): SafekeeperOptions {
  const { tlsCert, tlsKey, listenPgTenantOnly, pgAuthPublicKeyPath, httpAuthPublicKeyPath, s3 } = flags;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new BadRequestError('MISSING_ARGUMENT', '--tls-cert and --tls-key go together');
  }
  return {
    nodeId: flags.id,
    directory: flags.dir,
    version,
    listenPg: flags.listenPg,
    listenHttp: flags.listenHttp,
    ...(listenPgTenantOnly === undefined ? {} : { listenPgTenantOnly }),
    ...(pgAuthPublicKeyPath === undefined ? {} : { pgTokenKeysPath: pgAuthPublicKeyPath }),
    ...(httpAuthPublicKeyPath === undefined ? {} : { httpTokenKeysPath: httpAuthPublicKeyPath }),
    ...(tlsCert === undefined || tlsKey === undefined
      ? {}
      : { tls: { certificatePath: tlsCert, privateKeyPath: tlsKey } }),
    ...(s3 === undefined ? {} : { objectStore: s3 }),
    ...(flags.tlsCa === undefined ? {} : { peerAuthoritiesPath: flags.tlsCa }),
    ...(flags.authTokenPath === undefined ? {} : { peerTokenPath: flags.authTokenPath }),
    isPeerRecoveryOff: !flags.peerRecovery,
    upkeep: toUpkeep(flags),
    allowsInsecureListen: flags.insecureListen === true,
    isSyncOff: !flags.sync,
    ...(flags.injectSyncDelayMs === undefined ? {} : { syncDelayMs: flags.injectSyncDelayMs }),
  };
}

function toUpkeep(flags: SafekeeperFlags): NonNullable<SafekeeperOptions['upkeep']> {
  const given = {
    partialBackupTimeoutMs: flags.partialBackupTimeout,
    backupParallelJobs: flags.walBackupParallelJobs,
    evictionMinResidentMs: flags.evictionMinResident,
    deleteOffloadedWal: flags.keepOffloadedWal === true ? false : undefined,
    controlFileSaveIntervalMs: flags.controlFileSaveInterval,
    idleTimeoutMs: flags.idleTimeout,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
