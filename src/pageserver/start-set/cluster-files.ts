/**
 * The small files and the directories of a cluster at an LSN: all that a stock server starts from but the relations, and
 * the pages of SLRUs that it reads later. Nothing here depends on a clock, so two servers that start at one LSN start
 * from the same bytes.
 */
import type { Lsn } from '../../base/lsn.ts';
import { formatDatabasePath, tablespaceVersionDirectory } from '../../postgres/files/relation-file-name.ts';
import { GLOBAL_TABLESPACE } from '../../postgres/files/relation-locator.ts';
import { RELATION_MAP_FILE } from '../../postgres/files/relation-map-file.ts';
import {
  encodeReplicationOrigins,
  type OriginPosition,
  REPLICATION_ORIGINS_PATH,
} from '../../postgres/files/replication-origins-file.ts';
import { SLRU_PAGES_PER_SEGMENT, SLRUS, slruSegmentPath } from '../../postgres/files/slru.ts';
import { encodeTwoPhaseFile, TWO_PHASE_DIRECTORY } from '../../postgres/files/two-phase-file.ts';
import { Page } from '../../postgres/page/page.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import { type AuxiliaryFile, decodeAuxiliaryFiles } from '../keyspace/auxiliary-file.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import {
  KIND_DATABASE,
  KIND_RELATION_MAP,
  KIND_REPLICATION_ORIGIN,
  KIND_TABLESPACE,
  KIND_TWO_PHASE,
  kindRange,
  slruBlockKey,
} from '../keyspace/keys.ts';
import { decodeOrigin } from '../keyspace/stored-values.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { TimelineReads } from '../timeline/timeline-reads.ts';
import {
  AUXILIARY_MAPPINGS,
  AUXILIARY_SLOTS,
  AUXILIARY_SNAPSHOTS,
  AUXILIARY_STATISTICS,
} from './auxiliary-directories.ts';
import type { ClusterAtLsn } from './cluster-at-lsn.ts';
import { type ClusterFile, type FilePiece, wholeFile } from './cluster-file.ts';
import { slotOfPath, walNeededBySlot } from './replication-slots.ts';
import type { StoredValue } from './scan-all.ts';
import type { SlruSegment } from './slru-at-start.ts';
import { makeStartControlFile } from './start-control-file.ts';

/** What initdb makes (initdb.c, subdirs), parents first. */
const DIRECTORIES: readonly string[] = [
  'base',
  'global',
  'pg_commit_ts',
  'pg_dynshmem',
  'pg_logical',
  'pg_logical/mappings',
  'pg_logical/snapshots',
  'pg_multixact',
  'pg_multixact/members',
  'pg_multixact/offsets',
  'pg_notify',
  'pg_replslot',
  'pg_serial',
  'pg_snapshots',
  'pg_stat',
  'pg_stat_tmp',
  'pg_subtrans',
  'pg_tblspc',
  'pg_twophase',
  'pg_wal',
  'pg_wal/archive_status',
  'pg_wal/summaries',
  'pg_xact',
];

const VERSION_FILE = 'PG_VERSION';
const STANDBY_SIGNAL = 'standby.signal';
const TWO_POW_32 = 0x1_0000_0000;
/** Names that logical decoding and statistics give their files; nothing that leads out of the directory. */
const PLAIN_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/;

/**
 * The directories, parents first: those of every cluster, of tablespaces, and of databases. A tablespace is in place,
 * wherever it was made: pg_tblspc has a directory instead of a link.
 */
export async function* clusterDirectories(
  cluster: ClusterAtLsn,
  context: ReadContext,
): AsyncGenerator<string, void> {
  yield* DIRECTORIES;
  const { version, small } = cluster;
  for await (const { key } of small.scan(kindRange(KIND_TABLESPACE), context)) {
    yield `pg_tblspc/${key.index}`;
    yield `pg_tblspc/${key.index}/${tablespaceVersionDirectory(version)}`;
  }
  for await (const { key } of small.scan(kindRange(KIND_DATABASE), context)) {
    if (key.field2 !== GLOBAL_TABLESPACE) yield formatDatabasePath(version, key.field2, key.field3);
  }
}

/** The files, in an order that is always the same; the control file is the last. SLRUs are not among them. */
export async function* clusterFiles(
  cluster: ClusterAtLsn,
  context: ReadContext,
): AsyncGenerator<ClusterFile, void> {
  const { version, form, recordEndLsn: lsn, wal, small } = cluster;
  const scan = (range: KeyRange): AsyncIterable<StoredValue> => small.scan(range, context);
  const versionFile = (directory: string): ClusterFile =>
    wholeFile(`${directory}${VERSION_FILE}`, new TextEncoder().encode(`${version.major}\n`));
  yield versionFile('');
  for await (const { key, bytes } of scan(kindRange(KIND_RELATION_MAP))) {
    const directory = formatDatabasePath(version, key.field2, key.field3);
    if (key.field2 !== GLOBAL_TABLESPACE) yield versionFile(`${directory}/`);
    yield wholeFile(`${directory}/${RELATION_MAP_FILE}`, bytes);
  }
  for await (const { key, bytes } of scan(kindRange(KIND_TWO_PHASE))) {
    const name = twoPhaseName(version, key.field3 * TWO_POW_32 + key.index);
    yield wholeFile(`${TWO_PHASE_DIRECTORY}/${name}`, encodeTwoPhaseFile(bytes));
  }
  const origins: OriginPosition[] = [];
  for await (const { key, bytes } of scan(kindRange(KIND_REPLICATION_ORIGIN))) {
    origins.push({ origin: key.index, remoteLsn: decodeOrigin(bytes).remoteLsn });
  }
  if (origins.length > 0) yield wholeFile(REPLICATION_ORIGINS_PATH, encodeReplicationOrigins(origins));
  yield* auxiliaryFiles(cluster, scan);
  if (form !== 'primary') yield wholeFile(STANDBY_SIGNAL, new Uint8Array(0));
  yield* wal.files;
  const consistentLsn = form === 'standby' ? lsn : undefined;
  yield makeStartControlFile(version, cluster.initialControl, cluster.state.settings, wal, consistentLsn);
}

const twoPhaseName = (version: PostgresVersion, fullXid: number): string => {
  const number = version.twoPhaseNameDigits === 16 ? fullXid : fullXid % TWO_POW_32;
  return number.toString(16).toUpperCase().padStart(version.twoPhaseNameDigits, '0');
};

/** What was kept beside WAL and holds at the LSN. A standby takes no statistics, and only a primary has slots. */
async function* auxiliaryFiles(
  cluster: ClusterAtLsn,
  scan: (range: KeyRange) => AsyncIterable<StoredValue>,
): AsyncGenerator<ClusterFile, void> {
  const { form, recordEndLsn: lsn } = cluster;
  const kept: [range: KeyRange, prefix: string, isWanted: (file: AuxiliaryFile) => boolean][] = [];
  if (form === 'primary' && cluster.walNeededFrom !== undefined) {
    const always = (): boolean => true;
    kept.push([AUXILIARY_MAPPINGS, 'pg_logical/mappings/', always]);
    kept.push([AUXILIARY_SNAPSHOTS, 'pg_logical/snapshots/', always]);
    // Behind what they need.
    kept.push([AUXILIARY_SLOTS, 'pg_replslot/', (file) => walNeededBySlot(file, lsn) !== undefined]);
  }
  // They are of the end of the log that they were written at, and wrong anywhere else.
  if (form !== 'standby') kept.push([AUXILIARY_STATISTICS, 'pg_stat/', (file) => file.lsn === lsn]);
  for (const [range, prefix, isWanted] of kept) {
    for await (const { bytes } of scan(range)) {
      for (const file of decodeAuxiliaryFiles(bytes).sort(byPath)) {
        const isPlain =
          slotOfPath(file.path) !== undefined || PLAIN_NAME.test(file.path.slice(prefix.length));
        if (isPlain && isWanted(file)) yield wholeFile(file.path, file.content);
      }
    }
  }
}

const byPath = (left: AuxiliaryFile, right: AuxiliaryFile): number => (left.path < right.path ? -1 : 1);

/**
 * A segment of an SLRU.
 * @param isWhole with all its pages; otherwise with those that a start needs at once
 */
export async function slruFile(
  reads: TimelineReads,
  segment: SlruSegment,
  lsn: Lsn,
  isWhole: boolean,
  context: ReadContext,
): Promise<ClusterFile> {
  const { slru, pages, storedPages, pagesAtOnce } = segment;
  const indexes = isWhole ? Array.from({ length: storedPages }, (_, index) => index) : pagesAtOnce;
  const pieces: FilePiece[] = [];
  const requests: Parameters<TimelineReads['pages']>[0][number][] = [];
  for (const index of indexes) {
    const target = new Page();
    pieces.push({ offset: index * BLOCK_BYTES, bytes: target.bytes });
    if (index >= storedPages) continue;
    const page = segment.segment * SLRU_PAGES_PER_SEGMENT + index;
    requests.push({ key: slruBlockKey(slru, page), lsn, target });
  }
  if (requests.length > 0) await reads.pages(requests, context);
  return { path: slruSegmentPath(SLRUS[slru], segment.segment), sizeBytes: pages * BLOCK_BYTES, pieces };
}
