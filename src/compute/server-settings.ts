import { BadRequestError } from '../base/errors.ts';
import type { LeastSettings } from './data-directory.ts';
import type { ComputeOptions } from './options.ts';

/** The name of the proposer among the server's standbys, and of its slot. */
export const PROPOSER_NAME = 'varve';
/** Of the cluster that every timeline begins with. */
export const SUPERUSER = 'postgres';
/** More than a socket's path may have, with the name of the file, is refused by the operating system (sun_path). */
export const SOCKET_DIRECTORY_BYTES_MAX = 85;

/**
 * What an acknowledged commit rests on, and what the directory is worth nothing without. On the command line, where ALTER
 * SYSTEM changes nothing.
 */
const FIXED: Readonly<Record<string, string>> = {
  // The disk is a cache: what is durable is on safekeepers.
  fsync: 'off',
  // Storage has the images that redo needs, and a torn page is never recovered here.
  full_page_writes: 'off',
  // A crash of any server process could tear a page, and show commits that no quorum has.
  restart_after_crash: 'off',
  synchronous_standby_names: PROPOSER_NAME,
  // Hint bits would write images of pages.
  wal_log_hints: 'off',
  archive_mode: 'off',
};

/** Those of which a spec may ask for more, with what they are otherwise. */
const DEFAULTS: Readonly<Record<string, string>> = {
  wal_level: 'replica',
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

const OWN = [
  'port',
  'listen_addresses',
  'unix_socket_directories',
  'hba_file',
  'ident_file',
  'data_directory',
];

const HOST_BASED_AUTHENTICATION = `host  all  all  127.0.0.1/32  trust
host  all  all  ::1/128       trust
host  all  all  all           scram-sha-256
`;

/** @throws BadRequestError SETTING_FIXED for a setting that is not the spec's to make, BAD_SETTING */
export function checkSettings({ settings }: Pick<ComputeOptions, 'settings'>): void {
  for (const name of Object.keys(settings)) {
    if (!(name in FIXED) && !OWN.includes(name)) continue;
    const reason = `the setting ${name} is not to be chosen: the compute sets it`;
    throw new BadRequestError('SETTING_FIXED', reason);
  }
  settingsText(settings);
}

/** The server's parameters beside `-D`. */
export function commandLine(
  { settings, listen, mode }: Pick<ComputeOptions, 'settings' | 'listen' | 'mode'>,
  socketDirectory: string,
  least: LeastSettings,
): string[] {
  const own = {
    port: String(listen.port),
    listen_addresses: listen.host,
    unix_socket_directories: socketDirectory,
  };
  const chosen = { ...DEFAULTS, ...pick(Object.keys(DEFAULTS), settings) };
  const enough = Object.entries(leastNumbers(least, mode.kind !== 'primary')).map(([name, number]) => [
    name,
    String(Math.max(number, Number(settings[name] ?? DEFAULTS[name] ?? 0))),
  ]);
  const all = { ...chosen, ...Object.fromEntries(enough), ...FIXED, ...own };
  return Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** Numbers that the server's settings must not be below (xlogrecovery.c, CheckRequiredParameterValues; twophase.c). */
function leastNumbers(
  { control, preparedTransactions }: LeastSettings,
  isInRecovery: boolean,
): Record<string, number> {
  if (!isInRecovery) return { max_prepared_transactions: preparedTransactions };
  return {
    max_prepared_transactions: Math.max(control.maxPreparedTransactions, preparedTransactions),
    max_connections: control.maxConnections,
    max_worker_processes: control.maxWorkerProcesses,
    max_wal_senders: control.maxWalSenders,
    max_locks_per_transaction: control.maxLocksPerTransaction,
  };
}

/** postgresql.conf: what ALTER SYSTEM, and who has logged in, may change. */
export function settingsText(settings: ComputeOptions['settings']): string {
  const lines = Object.entries(settings)
    .filter(([name]) => !(name in DEFAULTS))
    .map(([name, value]) => `${checkedName(name)} = ${quote(value)}\n`);
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
    options: `-c tenant_id=${tenantId} timeline_id=${timelineId}`,
    ...(token === undefined ? {} : { password: token }),
    ...(safekeeperTls === undefined ? {} : { sslmode: 'require' }),
  };
  const conninfo = Object.entries(words).map(
    ([name, value]) => `${name}='${value.replaceAll(/[\\']/g, '\\$&')}'`,
  );
  return { primary_conninfo: conninfo.join(' '), hot_standby_feedback: 'on' };
}

/** pg_hba.conf. The agent itself comes over a socket in a directory that nobody else can enter. */
export function hostBasedAuthenticationText(given: string | undefined): string {
  return `local all ${SUPERUSER} trust\nlocal replication ${SUPERUSER} trust\n${given ?? HOST_BASED_AUTHENTICATION}\n`;
}

function pick(names: readonly string[], settings: ComputeOptions['settings']): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => names.includes(name)));
}

function checkedName(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_.]*$/.test(name)) return name;
  throw new BadRequestError('BAD_SETTING', `“${name}” is no name of a setting`);
}

/** postgresql.conf's quoting: a quote is doubled, a backslash escapes (guc-file.l). */
function quote(value: string): string {
  if (/[\r\n\0]/.test(value)) throw new BadRequestError('BAD_SETTING', 'a setting has a line break in it');
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}
