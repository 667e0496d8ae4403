import { AssertionError } from '../../base/errors.ts';
import {
  CLOG_XACTS_PER_PAGE,
  COMMIT_TIMESTAMP_ENTRY_BYTES,
  COMMIT_TS_XACTS_PER_PAGE,
  MULTIXACT_MEMBER_GROUP_BYTES,
  MULTIXACT_MEMBER_GROUPS_PER_PAGE,
  MULTIXACT_MEMBERS_PER_GROUP,
  MULTIXACT_OFFSETS_PER_PAGE,
  SLRUS,
  type Slru,
  type SlruName,
  slruPageOf,
} from '../../postgres/files/slru.ts';
import type { Page } from '../../postgres/page/page.ts';
import { XLOG_XACT_COMMIT, XLOG_XACT_OPMASK } from '../../postgres/rmgr/xact.ts';
import type { DecodedRecord } from '../../postgres/wal/decoded-record.ts';
import type {
  CommitTimestampEffect,
  MultixactMembersEffect,
  MultixactOffsetsEffect,
  SlruPageEffect,
  TransactionStatusEffect,
} from './effect.ts';

/** Values of a transaction's two bits (clog.h). All zeros is "in progress". */
export const TRANSACTION_STATUS_COMMITTED = 1;
export const TRANSACTION_STATUS_ABORTED = 2;

/** Which SLRU the effect changes a page of. */
export function slruOfEffect(effect: SlruPageEffect): SlruName {
  switch (effect.kind) {
    case 'slru-zero-page':
      return effect.slru;
    case 'transaction-status':
      return 'clog';
    case 'commit-timestamp':
      return 'commit-timestamp';
    case 'multixact-offsets':
    case 'multixact-members':
      return effect.kind;
  }
}

/**
 * Applies an effect to its page, in place, whatever was there before: PostgreSQL's replay overwrites, too, and only
 * a server built with assertions looks at the former state. SLRU pages have no LSN and no checksum.
 */
export function applySlruPageEffect(page: Page, effect: SlruPageEffect): void {
  switch (effect.kind) {
    case 'slru-zero-page':
      page.bytes.fill(0);
      break;
    case 'transaction-status':
      setTransactionStatus(page, effect);
      break;
    case 'commit-timestamp':
      setCommitTimestamps(page, effect);
      break;
    case 'multixact-offsets':
      setMultixactOffsets(page, effect);
      break;
    case 'multixact-members':
      setMultixactMembers(page, effect);
      break;
  }
}

function checkPage(slru: Slru, entry: number, page: number): void {
  if (slruPageOf(slru, entry) !== page)
    throw new AssertionError(`entry ${entry} is not on page ${page} of ${slru.name}`);
}

/** TransactionIdSetStatusBit. */
function setTransactionStatus(page: Page, effect: TransactionStatusEffect): void {
  const status = effect.status === 'committed' ? TRANSACTION_STATUS_COMMITTED : TRANSACTION_STATUS_ABORTED;
  for (const xid of effect.xids) {
    checkPage(SLRUS.clog, xid, effect.page);
    setStatusBits(page, xid, status);
  }
}

function setStatusBits(page: Page, xid: number, status: number): void {
  const index = xid % CLOG_XACTS_PER_PAGE;
  const offset = index >>> 2;
  const shift = (index & 3) * 2;
  page.view.setUint8(offset, (page.view.getUint8(offset) & ~(3 << shift)) | (status << shift));
}

/**
 * What effectsOf and applySlruPageEffect do to the page of clog that has the record's transaction, for a record that
 * isPlainTransactionEnd. A page has thousands of these, so nothing is allocated.
 */
export function applyPlainTransactionEnd(page: Page, record: DecodedRecord): void {
  const isCommit = (record.info & XLOG_XACT_OPMASK) === XLOG_XACT_COMMIT;
  setStatusBits(page, record.xid, isCommit ? TRANSACTION_STATUS_COMMITTED : TRANSACTION_STATUS_ABORTED);
}

/** TransactionIdSetCommitTs: time and origin of each. */
function setCommitTimestamps(page: Page, effect: CommitTimestampEffect): void {
  for (const xid of effect.xids) {
    checkPage(SLRUS['commit-timestamp'], xid, effect.page);
    const offset = (xid % COMMIT_TS_XACTS_PER_PAGE) * COMMIT_TIMESTAMP_ENTRY_BYTES;
    page.view.setBigInt64(offset, effect.time, true);
    page.view.setUint16(offset + 8, effect.origin, true);
  }
}

/** RecordNewMultiXact, offsets. */
function setMultixactOffsets(page: Page, effect: MultixactOffsetsEffect): void {
  for (const [index, multixact] of effect.multixacts.entries()) {
    checkPage(SLRUS['multixact-offsets'], multixact, effect.page);
    page.view.setUint32((multixact % MULTIXACT_OFFSETS_PER_PAGE) * 4, effect.offsets[index] as number, true);
  }
}

/** RecordNewMultiXact, members: in each group of four, four bytes of flags come before the four xids. */
function setMultixactMembers(page: Page, effect: MultixactMembersEffect): void {
  for (const [index, xid] of effect.xids.entries()) {
    const offset = effect.startOffset + index;
    checkPage(SLRUS['multixact-members'], offset, effect.page);
    const group = Math.floor(offset / MULTIXACT_MEMBERS_PER_GROUP) % MULTIXACT_MEMBER_GROUPS_PER_PAGE;
    const member = offset % MULTIXACT_MEMBERS_PER_GROUP;
    const groupOffset = group * MULTIXACT_MEMBER_GROUP_BYTES;
    page.view.setUint32(groupOffset + MULTIXACT_MEMBERS_PER_GROUP + member * 4, xid, true);
    page.view.setUint8(groupOffset + member, effect.statuses[index] as number);
  }
}
