import { BadRequestError } from '../base/errors.ts';
import type { ServerIdentity } from '../io/sockets.ts';
import type { LeastSettings } from './data-directory.ts';
import type { ComputeOptions } from './options.ts';
import { checkSetting, FIXED_SETTINGS, PROPOSER_NAME, SUPERUSER } from './setting-rules.ts';

/** More than a socket's path may have, with the name of the file, is refused by the operating system (sun_path). */
export const SOCKET_DIRECTORY_BYTES_MAX = 85;

/** Those of which a spec may ask for more, with what they are otherwise. */
const DEFAULTS: Readonly<Record<string, string>> = {
  max_wal_senders: '10',
  max_replication_slots: '10',
  max_prepared_transactions: '64',
  // Nothing is synced: a checkpoint costs what it writes.
  checkpoint_timeout: '15min',
  max_wal_size: '1GB',
  // Files of WAL are of no use here a second time, and nobody reads what is behind their end.
  wal_recycle: 'off',
  wal_init_zero: 'off',
};

const TLS_FILES = { certificate: 'server.crt', privateKey: 'server.key' } as const;
const TLS: Readonly<Record<string, string>> = {
  ssl: 'on',
  ssl_cert_file: TLS_FILES.certificate,
  ssl_key_file: TLS_FILES.privateKey,
};

/** Of a primary: for the proposer, and for its slot. */
const WAL_SENDERS_MIN = 2;
const REPLICATION_SLOTS_MIN = 1;

const HOST_BASED_AUTHENTICATION = `host  all  all  127.0.0.1/32  trust
host  all  all  ::1/128       trust
host  all  all  all           scram-sha-256
`;

/** @throws as checkSetting */
export function checkSettings({ settings, tls }: Pick<ComputeOptions, 'settings' | 'tls'>): void {
  for (const [name, value] of Object.entries(settings)) {
    checkSetting(name, value);
    if (tls !== undefined && Object.hasOwn(TLS, name.toLowerCase())) {
      throw new BadRequestError(
        'SETTING_FIXED',
        `the setting ${name} is given, and the spec’s tls says it, too`,
      );
    }
  }
}

/** The server's parameters beside `-D`. */
export function commandLine(
  { settings, listen, mode, tls }: Pick<ComputeOptions, 'settings' | 'listen' | 'mode' | 'tls'>,
  socketDirectory: string,
  least: LeastSettings,
): string[] {
  const own = {
    port: String(listen.port),
    listen_addresses: listen.host,
    unix_socket_directories: socketDirectory,
    ...(tls === undefined ? {} : TLS),
  };
  const wanted = lowerCased(settings);
  const chosen = { ...DEFAULTS, ...pick(Object.keys(DEFAULTS), wanted) };
  const enough = Object.entries(leastNumbers(least, mode.kind !== 'primary')).map(([name, number]) => [
    name,
    atLeast(number, wanted[name] ?? DEFAULTS[name] ?? '0'),
  ]);
  const all = { ...chosen, ...Object.fromEntries(enough), ...FIXED_SETTINGS, ...own };
  return Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** What is no number the server itself refuses by name. */
const atLeast = (number: number, text: string): string =>
  Number.isNaN(Number(text)) ? text : String(Math.max(number, Number(text)));

/** Numbers that the server's settings must not be below (xlogrecovery.c, CheckRequiredParameterValues; twophase.c). */
function leastNumbers(
  { control, preparedTransactions }: LeastSettings,
  isInRecovery: boolean,
): Record<string, number> {
  if (!isInRecovery) {
    return {
      max_prepared_transactions: preparedTransactions,
      max_wal_senders: WAL_SENDERS_MIN,
      max_replication_slots: REPLICATION_SLOTS_MIN,
    };
  }
  return {
    max_prepared_transactions: Math.max(control.maxPreparedTransactions, preparedTransactions),
    max_connections: control.maxConnections,
    max_worker_processes: control.maxWorkerProcesses,
    max_wal_senders: control.maxWalSenders,
    max_locks_per_transaction: control.maxLocksPerTransaction,
  };
}

/** What the server's file of settings begins with. */
const FILE_DEFAULTS: Readonly<Record<string, string>> = {
  // So that one which is suspended soon has been looked through before.
  autovacuum_naptime: '15s',
};

/** postgresql.conf: what ALTER SYSTEM, and who has logged in, may change. */
export function settingsText(settings: ComputeOptions['settings']): string {
  const lines = Object.entries({ ...FILE_DEFAULTS, ...lowerCased(settings) })
    .filter(([name]) => !Object.hasOwn(DEFAULTS, name))
    .map(([name, value]) => `${name} = ${quote(value)}\n`);
  return lines.join('');
}

/** Of a server that follows the branch: from safekeepers, up to what a quorum has; never from a primary, which may have more. */
export async function standbySettings({
  tenantId,
  timelineId,
  membership,
  safekeeperToken,
  safekeeperTls,
}: Pick<
  ComputeOptions,
  'tenantId' | 'timelineId' | 'membership' | 'safekeeperToken' | 'safekeeperTls'
>): Promise<Record<string, string>> {
  const token = typeof safekeeperToken === 'function' ? await safekeeperToken() : safekeeperToken;
  const words = {
    host: membership.members.map(({ host }) => host).join(','),
    port: membership.members.map(({ pgPort }) => pgPort).join(','),
    user: PROPOSER_NAME,
    application_name: PROPOSER_NAME,
    // Not always the same one first: it may be one that does not get on.
    load_balance_hosts: 'random',
    connect_timeout: '3',
    options: `-c tenant_id=${tenantId} timeline_id=${timelineId}`,
    ...(token === undefined ? {} : { password: token }),
    ...(safekeeperTls === undefined ? {} : { sslmode: 'require' }),
  };
  const conninfo = Object.entries(words).map(
    ([name, value]) => `${name}='${value.replaceAll(/[\\']/g, '\\$&')}'`,
  );
  return {
    primary_conninfo: conninfo.join(' '),
    hot_standby_feedback: 'on',
    // A safekeeper says something each second.
    wal_receiver_timeout: '10s',
    wal_retrieve_retry_interval: '1s',
  };
}

/** pg_hba.conf. The agent itself comes over a socket in a directory that nobody else can enter. */
export function hostBasedAuthenticationText(given: string | undefined): string {
  return `local all ${SUPERUSER} trust\nlocal replication ${SUPERUSER} trust\n${given ?? HOST_BASED_AUTHENTICATION}\n`;
}

function pick(names: readonly string[], settings: ComputeOptions['settings']): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => names.includes(name)));
}

const lowerCased = (settings: ComputeOptions['settings']): Record<string, string> =>
  Object.fromEntries(Object.entries(settings).map(([name, value]) => [name.toLowerCase(), value]));

/** postgresql.conf's quoting: a quote is doubled, a backslash escapes (guc-file.l). */
const quote = (value: string): string => `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;

/** What a server proves who it is with, by the names of its files in the data directory. */
export const tlsTexts = ({ certificate, privateKey }: ServerIdentity): Record<string, string> => ({
  [TLS_FILES.certificate]: certificate,
  [TLS_FILES.privateKey]: privateKey,
});
