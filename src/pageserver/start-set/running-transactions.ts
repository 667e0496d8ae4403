import { VarveError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { CLOG_XACTS_PER_PAGE, FIRST_NORMAL_XID, SLRUS, slruPageOf } from '../../postgres/files/slru.ts';
import { Page } from '../../postgres/page/page.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import { readSubtransactions } from '../ingest/transactions.ts';
import type { ClusterState } from '../keyspace/cluster-state.ts';
import { KIND_LOCKS, KIND_TWO_PHASE, kindRange, slruBlockKey } from '../keyspace/keys.ts';
import { decodeLocks } from '../keyspace/stored-values.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { TimelineReads } from '../timeline/timeline-reads.ts';
import type { SmallValues } from './small-values.ts';
import type { RunningTransactions } from './standby-wal.ts';

const TWO_POW_32 = 0x1_0000_0000;
/** Two bits each (clog.c). */
const CLOG_BITS_PER_XACT = 2;
const CLOG_STATUS_MASK = 3;
/** TRANSACTION_STATUS_IN_PROGRESS. */
const IN_PROGRESS = 0;
const PAGES_AT_ONCE = 32;
/** A standby has room for far fewer (TOTAL_MAX_CACHED_SUBXIDS in procarray.c). */
const RUNNING_MAX = 1_000_000;

/** Where it is read. */
interface RunningPlace {
  readonly reads: TimelineReads;
  readonly small: SmallValues;
  readonly version: PostgresVersion;
  readonly lsn: Lsn;
}

/**
 * What runs at an LSN: docs/decisions/0009. Those that are prepared run too, with their subtransactions.
 * @param hasClogPage which pages of clog exist
 * @throws VarveError ‘precondition’ / TOO_MANY_RUNNING
 */
export async function readRunningTransactions(
  place: RunningPlace,
  state: ClusterState,
  hasClogPage: (page: number) => boolean,
  context: ReadContext,
): Promise<RunningTransactions> {
  const { small, version } = place;
  const fullXids = new Set<number>();
  for await (const { key, bytes } of small.scan(kindRange(KIND_TWO_PHASE), context)) {
    const fullXid = key.field3 * TWO_POW_32 + key.index;
    fullXids.add(fullXid);
    // Subtransactions come later than the transaction that they are of.
    for (const xid of readSubtransactions(version, bytes)) {
      const epoch = Math.floor(fullXid / TWO_POW_32) + (xid < key.index ? 1 : 0);
      fullXids.add(epoch * TWO_POW_32 + xid);
    }
  }
  await addInProgress(place, state, hasClogPage, context, fullXids);
  const locks: RunningTransactions['locks'][number][] = [];
  for await (const { key, bytes } of small.scan(kindRange(KIND_LOCKS), context)) {
    for (const { database, relation } of decodeLocks(bytes)) {
      locks.push({ xid: key.index, database, relation });
    }
  }
  const inOrder = [...fullXids].sort((left, right) => left - right);
  return { xids: inOrder.map((fullXid) => fullXid % TWO_POW_32), locks };
}

async function addInProgress(
  { reads, lsn }: RunningPlace,
  { oldestRunningXid, nextXid }: ClusterState,
  hasClogPage: (page: number) => boolean,
  context: ReadContext,
  fullXids: Set<number>,
): Promise<void> {
  const first = Math.floor(oldestRunningXid / CLOG_XACTS_PER_PAGE);
  const last = Math.ceil(nextXid / CLOG_XACTS_PER_PAGE);
  for (let start = first; start < last; start += PAGES_AT_ONCE) {
    const pages: { readonly number: number; readonly page: Page | undefined }[] = [];
    for (let number = start; number < Math.min(start + PAGES_AT_ONCE, last); number++) {
      const page = slruPageOf(SLRUS.clog, (number * CLOG_XACTS_PER_PAGE) % TWO_POW_32);
      pages.push({ number, page: hasClogPage(page) ? new Page() : undefined });
    }
    await reads.pages(
      pages.flatMap(({ number, page }) => {
        if (page === undefined) return [];
        const clogPage = slruPageOf(SLRUS.clog, (number * CLOG_XACTS_PER_PAGE) % TWO_POW_32);
        return [{ key: slruBlockKey('clog', clogPage), lsn, target: page }];
      }),
      context,
    );
    for (const { number, page } of pages) {
      const pageStart = number * CLOG_XACTS_PER_PAGE;
      const end = Math.min(nextXid, pageStart + CLOG_XACTS_PER_PAGE);
      for (let fullXid = Math.max(oldestRunningXid, pageStart); fullXid < end; fullXid++) {
        if (fullXid % TWO_POW_32 < FIRST_NORMAL_XID) continue;
        if (page === undefined || isInProgress(page, fullXid - pageStart)) fullXids.add(fullXid);
      }
    }
    if (fullXids.size > RUNNING_MAX) {
      throw new VarveError('precondition', 'TOO_MANY_RUNNING', 'too many transactions run for a standby', {
        lsn,
      });
    }
  }
}

function isInProgress(page: Page, entry: number): boolean {
  const bits = entry * CLOG_BITS_PER_XACT;
  return (((page.bytes[bits >>> 3] as number) >>> (bits & 7)) & CLOG_STATUS_MASK) === IN_PROGRESS;
}
