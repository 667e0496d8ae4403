import { crc32c } from '../../base/crc32c.ts';
import { CorruptionError, VarveError } from '../../base/errors.ts';
import { formatLsn, type Lsn, readLsn, toLsn } from '../../base/lsn.ts';
import type { Files } from '../../io/files.ts';
import { CONTROL_FILE_PATH, type ControlFile, decodeControlFile } from '../../postgres/files/control-file.ts';
import { RELATION_MAP_FILE } from '../../postgres/files/relation-map-file.ts';
import {
  parseSlruSegmentName,
  SLRU_PAGES_PER_SEGMENT,
  SLRUS,
  type SlruName,
  slruSegmentPages,
} from '../../postgres/files/slru.ts';
import { decodeTwoPhaseFile, fullXidAt, TWO_PHASE_DIRECTORY } from '../../postgres/files/two-phase-file.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import { createCounters } from '../../redo/effects/counters.ts';
import { CLUSTER_STATE_BYTES, roundUpXid, writeClusterState } from '../keyspace/cluster-state.ts';
import { compareKeys, type Key } from '../keyspace/key.ts';
import {
  CLUSTER_CONTROL_FILE,
  CLUSTER_COUNTERS,
  clusterKey,
  databaseKey,
  originKey,
  relationMapKey,
  relationSizeKey,
  SLRU_NAMES,
  slruBlockKey,
  slruSegmentKey,
  twoPhaseKey,
} from '../keyspace/keys.ts';
import { DATABASE_VALUE, encodeOrigin, encodeSize } from '../keyspace/stored-values.ts';
import { hasEnded, withoutUnlogged } from './backup-leftovers.ts';
import { type ImportTarget, isMissing, listOrNothing, readWholeFile } from './import-files.ts';
import { findDatabases, findForks, importForks } from './import-forks.ts';
import type { ImportedFork } from './read-forks.ts';

const TWO_POW_32 = 0x1_0000_0000;
/** Above all LSNs of pages. */
const ALL_PAGES = Number.POSITIVE_INFINITY;
const REPLORIGIN_CHECKPOINT = 'pg_logical/replorigin_checkpoint';
/** REPLICATION_STATE_MAGIC (origin.c). */
const REPLORIGIN_MAGIC = 0x1257dade;
/** ReplicationStateOnDisk: origin 2, padding 6, remote LSN 8. */
const REPLORIGIN_ENTRY_BYTES = 16;

/**
 * Reads a data directory whose server was stopped cleanly (as after initdb) into the values that a timeline has at the
 * start of its shutdown checkpoint record. That record is the first that is to be ingested; it begins at the
 * `checkPoint` of the control file that is returned. Free space maps, temporary relations and tablespaces are left out;
 * a cluster with tablespaces is refused.
 *
 * Of a backup of a running server the values are those of `backupStartLsn`, or later ones, each for itself: only when all
 * WAL of the backup has been ingested do they belong together. See docs/follow/import.md.
 *
 * @param backupStartLsn where the WAL of a backup begins; undefined for a cluster that was stopped
 * @throws VarveError 'precondition' for a cluster that was not stopped cleanly or has tablespaces; CorruptionError for
 * damaged files and, where the cluster has data checksums, pages; what the files door fails of
 */
export async function importCluster(
  files: Files,
  directory: string,
  version: PostgresVersion,
  target: ImportTarget,
  backupStartLsn?: Lsn,
): Promise<ControlFile> {
  const controlBytes = await readWholeFile(files, `${directory}/${CONTROL_FILE_PATH}`);
  const control = decodeControlFile(version, controlBytes);
  checkImportable(control, backupStartLsn);
  if ((await listOrNothing(files, `${directory}/pg_tblspc`)).length > 0) {
    refuse('CLUSTER_HAS_TABLESPACES', 'a cluster with tablespaces cannot be imported');
  }
  const databases = await findDatabases(files, directory, version);
  const isBackup = backupStartLsn !== undefined;
  const found = await findForks(files, directory, version, databases);
  const forks = isBackup ? withoutUnlogged(found) : found;
  const hasChecksums = control.dataChecksumVersion !== 0;
  await importForks(files, forks, hasChecksums ? (backupStartLsn ?? ALL_PAGES) : undefined, target);
  const slrus = await importSlruPages(files, directory, isBackup, target);
  const rest = [
    ...forkSizes(forks),
    ...(await readOrigins(files, directory)),
    ...databases.map(({ tablespace, database }) => {
      return { key: databaseKey(tablespace, database), value: DATABASE_VALUE };
    }),
    ...slrus,
    ...(await readPrepared(files, directory, version, control, isBackup)),
    { key: clusterKey(CLUSTER_CONTROL_FILE), value: controlBytes },
    { key: clusterKey(CLUSTER_COUNTERS), value: initialState(control, isBackup) },
  ];
  for (const { path, tablespace, database } of databases) {
    const map = `${directory}/${path}/${RELATION_MAP_FILE}`;
    try {
      rest.push({ key: relationMapKey(tablespace, database), value: await readWholeFile(files, map) });
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  rest.sort((left, right) => compareKeys(left.key, right.key));
  for (const { key, value } of rest) await target.put(key, value);
  return control;
}

interface ImportedValue {
  readonly key: Key;
  readonly value: Uint8Array;
}

function refuse(code: string, reason: string): never {
  throw new VarveError('precondition', code, reason);
}

function checkImportable(control: ControlFile, backupStartLsn: Lsn | undefined): void {
  const { state, checkPoint, checkPointCopy } = control;
  if (backupStartLsn !== undefined) {
    if (checkPointCopy.redo >= backupStartLsn) return;
    refuse(
      'CONTROL_FILE_TOO_OLD',
      `the backup begins at ${formatLsn(backupStartLsn)}, and its control file knows of nothing behind ${formatLsn(checkPointCopy.redo)}`,
    );
  }
  if (state === 'shut down' && checkPointCopy.redo === checkPoint) return;
  refuse(
    'CLUSTER_NOT_SHUT_DOWN',
    `only a cluster that was stopped cleanly can be imported: this one is ${state}, with its checkpoint at ${formatLsn(checkPoint)} from ${formatLsn(checkPointCopy.redo)} on`,
  );
}

/**
 * Nothing runs when a server has stopped. The control file of a backup may be of a later checkpoint than the one that the
 * backup begins with: then it is before the backup's end, and no counter is less there.
 */
function initialState(control: ControlFile, isBackup: boolean): Uint8Array {
  const counters = createCounters(control);
  const { oldestActiveXid } = control.checkPointCopy;
  const value = new Uint8Array(CLUSTER_STATE_BYTES);
  const state = {
    ...counters,
    oldestRunningXid:
      isBackup && oldestActiveXid !== 0 ? fullXidAt(counters.nextXid, oldestActiveXid) : counters.nextXid,
    lastOffsetsPage: -1,
    preparedOffsetsPage: -1,
  };
  writeClusterState(new DataView(value.buffer), state, roundUpXid(counters.nextXid));
  return value;
}

const forkSizes = (forks: readonly ImportedFork[]): ImportedValue[] =>
  forks.map(({ relation, fork, blocks }) => ({
    key: relationSizeKey(relation, fork),
    value: encodeSize(blocks),
  }));

/** Puts the pages, and gives the values of the segments. */
async function importSlruPages(
  files: Files,
  directory: string,
  isBackup: boolean,
  target: ImportTarget,
): Promise<ImportedValue[]> {
  const segments: ImportedValue[] = [];
  for (const name of SLRU_NAMES) {
    for (const segment of await listSegments(files, `${directory}/${SLRUS[name].directory}`)) {
      const file = await readWholeFile(files, segment.path);
      // A server that runs may have been about to make the file longer.
      const content = isBackup ? file.subarray(0, file.length - (file.length % BLOCK_BYTES)) : file;
      const pages = slruSegmentPages(segment.path, content.length);
      if (pages === 0) continue;
      await importSegment(name, segment.number, content, target);
      segments.push({ key: slruSegmentKey(name, segment.number), value: encodeSize(pages) });
    }
  }
  return segments;
}

async function importSegment(
  slru: SlruName,
  segment: number,
  content: Uint8Array,
  target: ImportTarget,
): Promise<void> {
  for (let index = 0; index * BLOCK_BYTES < content.length; index++) {
    const page = content.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
    await target.put(slruBlockKey(slru, segment * SLRU_PAGES_PER_SEGMENT + index), page);
  }
}

async function listSegments(files: Files, directory: string): Promise<{ number: number; path: string }[]> {
  const segments: { number: number; path: string }[] = [];
  for (const name of await listOrNothing(files, directory)) {
    const number = parseSlruSegmentName(name);
    if (number !== undefined) segments.push({ number, path: `${directory}/${name}` });
  }
  return segments.sort((left, right) => left.number - right.number);
}

/** Names have 16 hexadecimal digits of a full transaction id, before 17 eight digits of one without its epoch. */
async function readPrepared(
  files: Files,
  directory: string,
  version: PostgresVersion,
  control: ControlFile,
  isBackup: boolean,
): Promise<ImportedValue[]> {
  const values: ImportedValue[] = [];
  for (const name of await listOrNothing(files, `${directory}/${TWO_PHASE_DIRECTORY}`)) {
    const path = `${directory}/${TWO_PHASE_DIRECTORY}/${name}`;
    if (!/^[0-9A-F]+$/.test(name) || name.length !== version.twoPhaseNameDigits) continue;
    const number = Number.parseInt(name, 16);
    const fullXid = name.length === 16 ? number : fullXidAt(control.checkPointCopy.nextXid, number);
    if (!Number.isSafeInteger(fullXid) || fullXid < 0) {
      throw new CorruptionError('BAD_TWO_PHASE_FILE', 'there can be no such transaction', { file: path });
    }
    // ProcessTwoPhaseBuffer: a file goes after its transaction has ended, and may be seen in between.
    if (isBackup && (await hasEnded(files, directory, fullXid % TWO_POW_32))) continue;
    values.push({
      key: twoPhaseKey(fullXid),
      value: decodeTwoPhaseFile(await readWholeFile(files, path), path),
    });
  }
  return values;
}

/** StartupReplicationOrigin: the file has no local positions. */
async function readOrigins(files: Files, directory: string): Promise<ImportedValue[]> {
  const path = `${directory}/${REPLORIGIN_CHECKPOINT}`;
  let bytes: Uint8Array;
  try {
    bytes = await readWholeFile(files, path);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const end = bytes.length - 4;
  if (
    end < 4 ||
    (end - 4) % REPLORIGIN_ENTRY_BYTES !== 0 ||
    view.getUint32(0, true) !== REPLORIGIN_MAGIC ||
    view.getUint32(end, true) !== crc32c(bytes, 0, end)
  ) {
    throw new CorruptionError(
      'BAD_ORIGINS_FILE',
      'wrong magic number, length or CRC in replication origins',
      {
        file: path,
      },
    );
  }
  const values: ImportedValue[] = [];
  for (let at = 4; at < end; at += REPLORIGIN_ENTRY_BYTES) {
    const positions = { remoteLsn: readLsn(view, at + 8), localLsn: toLsn(0) };
    values.push({ key: originKey(view.getUint16(at, true)), value: encodeOrigin(positions) });
  }
  return values;
}
