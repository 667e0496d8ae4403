import { CorruptionError, VarveError } from '../../base/errors.ts';
import { type Lsn, toLsn } from '../../base/lsn.ts';
import type { StartSetForm } from '../../contracts/start-set.ts';
import { type ControlFile, decodeControlFile } from '../../postgres/files/control-file.ts';
import { FIRST_NORMAL_XID, SLRU_PAGES_PER_SEGMENT } from '../../postgres/files/slru.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import { WAL_PAGE_BYTES, walPageHeaderBytes } from '../../postgres/wal/page-header.ts';
import { decodeAuxiliaryFiles } from '../keyspace/auxiliary-file.ts';
import { type ClusterState, decodeClusterState } from '../keyspace/cluster-state.ts';
import {
  CLUSTER_COMMIT_TIME,
  CLUSTER_CONTROL_FILE,
  CLUSTER_COUNTERS,
  KIND_CLUSTER,
  KIND_SLRU_SEGMENT,
  KIND_TWO_PHASE,
  kindRange,
  SLRU_NAMES,
} from '../keyspace/keys.ts';
import { decodeCommitTime, decodeSize } from '../keyspace/stored-values.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import { AUXILIARY_SLOTS } from './auxiliary-directories.ts';
import { walNeededBySlot } from './replication-slots.ts';
import { readRunningTransactions } from './running-transactions.ts';
import { type MadeUpWal, makeShutdownWal } from './shutdown-wal.ts';
import { planSlrus, type SlruSegment, type StoredSegment } from './slru-at-start.ts';
import { SmallValues } from './small-values.ts';
import { makeStandbyWal } from './standby-wal.ts';

const TWO_POW_32 = 0x1_0000_0000;
const MICROSECONDS_PER_SECOND = 1_000_000n;
/** 2000-01-01 UTC in seconds since 1970: POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE days. */
const POSTGRES_EPOCH_SECONDS = 946_684_800n;

/** A cluster at the end of a record: what a start needs, but for what may be long, which is read when it is sent. */
export interface ClusterAtLsn {
  readonly form: StartSetForm;
  readonly version: PostgresVersion;
  readonly systemIdentifier: bigint;
  readonly walSegmentBytes: number;
  /** First aligned LSN past the last record: everything is as of here. */
  readonly recordEndLsn: Lsn;
  /** Where that record begins. */
  readonly previousRecordLsn: Lsn;
  /** Where the next record begins: behind a page header, where one comes next. */
  readonly nextRecordLsn: Lsn;
  /** What a logical slot that comes along needs WAL from; undefined without such. */
  readonly walNeededFrom: Lsn | undefined;
  readonly initialControl: ControlFile;
  /** `nextXid` is one that can be given out. */
  readonly state: ClusterState;
  readonly wal: MadeUpWal;
  readonly slruSegments: readonly SlruSegment[];
  /** Full ids of prepared transactions, in order. */
  readonly prepared: readonly number[];
  readonly small: SmallValues;
}

/**
 * Reads what a server starts from at `lsn`, or at the last record if it is undefined. An LSN between two ends of records
 * stands for the one before it. Everything that speaks against the start is found here.
 *
 * @throws VarveError ‘precondition’ / NO_RECORD_BEFORE where no record ends at or below the LSN; as makeStandbyWal;
 * CorruptionError where what is stored cannot be started from; as TimelineReads
 */
export async function readCluster(
  { timeline, reads }: ActiveTimeline,
  lsn: Lsn | undefined,
  form: StartSetForm,
  context: ReadContext,
): Promise<ClusterAtLsn> {
  const { version, systemIdentifier, walSegmentBytes } = timeline;
  const wanted = lsn === undefined ? timeline.lastRecordLsn : beforeHeader(lsn, walSegmentBytes);
  const record = await reads.recordBefore(wanted, context);
  if (record === undefined) {
    throw new VarveError('precondition', 'NO_RECORD_BEFORE', 'no record ends at or before this LSN', {
      lsn: wanted,
    });
  }
  const { startLsn: previousRecordLsn, endLsn: recordEndLsn } = record;
  const small = await SmallValues.read(reads, recordEndLsn, context);
  const at = { small, lsn: recordEndLsn, context };
  const initialControl = decodeControlFile(version, await mustRead(at, CLUSTER_CONTROL_FILE));
  const state = usableState(decodeClusterState(await mustRead(at, CLUSTER_COUNTERS)));
  const timeSeconds = await checkPointTime(at, initialControl);
  const prepared = await readPreparedXids(at);
  const slruSegments = planSlrus(await readSegments(at), state, prepared);
  const identity = { version, systemIdentifier, walSegmentBytes };
  const shutdown = makeShutdownWal(identity, recordEndLsn, previousRecordLsn, state, timeSeconds);
  let wal = shutdown;
  if (form === 'standby') {
    const hasClogPage = (page: number): boolean => hasPage(slruSegments, page);
    const at = { reads, small, version, lsn: recordEndLsn };
    const running = await readRunningTransactions(at, state, hasClogPage, context);
    wal = makeStandbyWal(identity, recordEndLsn, previousRecordLsn, state, running, timeSeconds);
  }
  return {
    form,
    ...identity,
    recordEndLsn,
    previousRecordLsn,
    nextRecordLsn: shutdown.checkPointLsn,
    walNeededFrom: form === 'primary' ? await readWalNeeded(at) : undefined,
    initialControl,
    state,
    wal,
    slruSegments,
    prepared,
    small,
  };
}

interface Place {
  readonly small: SmallValues;
  readonly lsn: Lsn;
  readonly context: ReadContext;
}

/** A log may end with a page's header, which is of no record yet. */
export function beforeHeader(lsn: Lsn, segmentBytes: number): Lsn {
  const inPage = lsn % WAL_PAGE_BYTES;
  return inPage <= walPageHeaderBytes(lsn - inPage, segmentBytes) ? toLsn(lsn - inPage) : lsn;
}

async function readOne({ small, context }: Place, which: number): Promise<Uint8Array | undefined> {
  for await (const { key, bytes } of small.scan(kindRange(KIND_CLUSTER), context)) {
    if (key.index === which) return bytes;
  }
  return undefined;
}

async function mustRead(at: Place, which: number): Promise<Uint8Array> {
  const value = await readOne(at, which);
  if (value !== undefined) return value;
  const { lsn } = at;
  throw new CorruptionError('CLUSTER_INCOMPLETE', 'the timeline has no control file or no counters', { lsn });
}

/** The next transaction id is stored rounded up, and can have become one that is never given out. */
function usableState(state: ClusterState): ClusterState {
  const xid = state.nextXid % TWO_POW_32;
  return xid >= FIRST_NORMAL_XID ? state : { ...state, nextXid: state.nextXid - xid + FIRST_NORMAL_XID };
}

/** When the last transaction was committed: so it is the same whenever it is asked for. */
async function checkPointTime(at: Place, initial: ControlFile): Promise<bigint> {
  const micros = await readOne(at, CLUSTER_COMMIT_TIME);
  if (micros === undefined) return initial.checkPointCopy.time;
  return BigInt(decodeCommitTime(micros)) / MICROSECONDS_PER_SECOND + POSTGRES_EPOCH_SECONDS;
}

async function readPreparedXids({ small, context }: Place): Promise<number[]> {
  const xids: number[] = [];
  for await (const { key } of small.scan(kindRange(KIND_TWO_PHASE), context)) {
    xids.push(key.field3 * TWO_POW_32 + key.index);
  }
  return xids;
}

async function readSegments({ small, lsn, context }: Place): Promise<StoredSegment[]> {
  const segments: StoredSegment[] = [];
  for await (const { key, bytes } of small.scan(kindRange(KIND_SLRU_SEGMENT), context)) {
    const slru = SLRU_NAMES[key.field2];
    if (slru === undefined) throw new CorruptionError('BAD_KEY', `there is no SLRU ${key.field2}`, { lsn });
    const pages = decodeSize(bytes);
    if (pages > SLRU_PAGES_PER_SEGMENT) {
      throw new CorruptionError('BAD_VALUE', `a segment of ${slru} has ${pages} pages`, { lsn });
    }
    if (pages > 0) segments.push({ slru, segment: key.field4, pages });
  }
  return segments;
}

function hasPage(segments: readonly SlruSegment[], page: number): boolean {
  const number = Math.floor(page / SLRU_PAGES_PER_SEGMENT);
  const found = segments.find(({ slru, segment }) => slru === 'clog' && segment === number);
  return found !== undefined && page % SLRU_PAGES_PER_SEGMENT < found.storedPages;
}

async function readWalNeeded({ small, lsn, context }: Place): Promise<Lsn | undefined> {
  let oldest: Lsn | undefined;
  for await (const { bytes } of small.scan(AUXILIARY_SLOTS, context)) {
    for (const file of decodeAuxiliaryFiles(bytes)) {
      const needed = walNeededBySlot(file, lsn);
      if (needed !== undefined && (oldest === undefined || needed < oldest)) oldest = needed;
    }
  }
  return oldest;
}
