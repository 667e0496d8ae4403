import { formatLsn, type Lsn } from '../../base/lsn.ts';
import type { ParameterSettings } from '../../postgres/files/control-file.ts';
import { type ClusterFile, wholeFile } from '../start-set/cluster-file.ts';

/** Whoever can reach the server on its own machine is believed to be who they say they are, as after initdb. */
const HOST_BASED_AUTHENTICATION = `# TYPE  DATABASE     USER  ADDRESS       METHOD
local   all          all                 trust
host    all          all   127.0.0.1/32  trust
host    all          all   ::1/128       trust
local   replication  all                 trust
host    replication  all   127.0.0.1/32  trust
host    replication  all   ::1/128       trust
`;

/** wal_level by its number in the control file (xlog.h). */
const WAL_LEVELS = ['minimal', 'replica', 'logical'];

const textFile = (path: string, text: string): ClusterFile => wholeFile(path, new TextEncoder().encode(text));

/** Files that no WAL tells of, as Neon has them: whoever runs the server writes its own settings. */
export function configurationFiles(): ClusterFile[] {
  return [
    textFile('pg_hba.conf', HOST_BASED_AUTHENTICATION),
    textFile('pg_ident.conf', ''),
    textFile('postgresql.auto.conf', ''),
  ];
}

/**
 * A server does not start without postgresql.conf. With the settings that the cluster ran with there is room for all
 * that is prepared, and nothing that would have to be written down in WAL has changed.
 */
export function settingsFile(settings: ParameterSettings): ClusterFile {
  const onOff = (value: boolean): string => (value ? 'on' : 'off');
  const lines = [
    `wal_level = ${WAL_LEVELS[settings.walLevel] ?? 'replica'}`,
    `wal_log_hints = ${onOff(settings.walLogHints)}`,
    `max_connections = ${settings.maxConnections}`,
    `max_worker_processes = ${settings.maxWorkerProcesses}`,
    `max_wal_senders = ${settings.maxWalSenders}`,
    `max_prepared_transactions = ${settings.maxPreparedTransactions}`,
    `max_locks_per_transaction = ${settings.maxLocksPerTransaction}`,
    `track_commit_timestamp = ${onOff(settings.trackCommitTimestamp)}`,
  ];
  return textFile('postgresql.conf', `${lines.join('\n')}\n`);
}

/** What a Neon compute looks for: where the record before its first one begins. Others pass over them. */
export function signalFiles(previousRecordLsn: Lsn): ClusterFile[] {
  const text = `PREV LSN: ${formatLsn(previousRecordLsn)}`;
  return [textFile('neon.signal', text), textFile('zenith.signal', text)];
}

/** From where on the replication slots that are in the archive need WAL. */
export function restartLsnFile(walNeededFrom: Lsn): ClusterFile {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(walNeededFrom), true);
  return wholeFile('restart.lsn', bytes);
}
