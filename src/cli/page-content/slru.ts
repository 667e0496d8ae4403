/** What is on a page of an SLRU, which has neither a header nor items. Entries that are zero are left out. */
import {
  CLOG_XACTS_PER_PAGE,
  COMMIT_TIMESTAMP_ENTRY_BYTES,
  COMMIT_TS_XACTS_PER_PAGE,
  MULTIXACT_MEMBER_GROUP_BYTES,
  MULTIXACT_MEMBERS_PER_GROUP,
  MULTIXACT_MEMBERS_PER_PAGE,
  MULTIXACT_OFFSETS_PER_PAGE,
  type SlruName,
} from '../../postgres/files/slru.ts';
import type { Page } from '../../postgres/page/page.ts';
import type { FieldValues } from './page-content.ts';

/** TRANSACTION_STATUS_… (clog.h). */
const STATUSES = ['in progress', 'committed', 'aborted', 'subcommitted'] as const;

const DESCRIBE: Readonly<Record<SlruName, (page: Page, number: number) => FieldValues[]>> = {
  clog: describeClog,
  'multixact-offsets': describeOffsets,
  'multixact-members': describeMembers,
  'commit-timestamp': describeTimestamps,
};

/** @param number of the page, counted from the SLRU's beginning */
export function describeSlruPage(slru: SlruName, page: Page, number: number): FieldValues[] {
  return DESCRIBE[slru](page, number);
}

/** Runs of transactions that have ended in the same way. */
function describeClog({ bytes }: Page, number: number): FieldValues[] {
  const runs: { xid: number; count: number; status: (typeof STATUSES)[number] }[] = [];
  let before = 0;
  for (let entry = 0; entry < CLOG_XACTS_PER_PAGE; entry++) {
    const status = ((bytes[entry >> 2] as number) >> ((entry & 3) * 2)) & 3;
    const last = runs.at(-1);
    if (status !== 0 && status === before && last !== undefined) last.count++;
    else if (status !== 0) {
      const xid = number * CLOG_XACTS_PER_PAGE + entry;
      runs.push({ xid, count: 1, status: STATUSES[status] as (typeof STATUSES)[number] });
    }
    before = status;
  }
  return runs;
}

function describeOffsets({ view }: Page, number: number): FieldValues[] {
  const entries: FieldValues[] = [];
  for (let entry = 0; entry < MULTIXACT_OFFSETS_PER_PAGE; entry++) {
    const offset = view.getUint32(entry * 4, true);
    if (offset !== 0) entries.push({ multixact: number * MULTIXACT_OFFSETS_PER_PAGE + entry, offset });
  }
  return entries;
}

function describeMembers({ view, bytes }: Page, number: number): FieldValues[] {
  const entries: FieldValues[] = [];
  for (let entry = 0; entry < MULTIXACT_MEMBERS_PER_PAGE; entry++) {
    const inGroup = entry % MULTIXACT_MEMBERS_PER_GROUP;
    const group = ((entry - inGroup) / MULTIXACT_MEMBERS_PER_GROUP) * MULTIXACT_MEMBER_GROUP_BYTES;
    const xid = view.getUint32(group + MULTIXACT_MEMBERS_PER_GROUP + inGroup * 4, true);
    if (xid === 0) continue;
    const member = number * MULTIXACT_MEMBERS_PER_PAGE + entry;
    entries.push({ member, xid, flags: bytes[group + inGroup] as number });
  }
  return entries;
}

function describeTimestamps({ view }: Page, number: number): FieldValues[] {
  const entries: FieldValues[] = [];
  for (let entry = 0; entry < COMMIT_TS_XACTS_PER_PAGE; entry++) {
    const offset = entry * COMMIT_TIMESTAMP_ENTRY_BYTES;
    const time = view.getBigInt64(offset, true);
    if (time === 0n) continue;
    entries.push({
      xid: number * COMMIT_TS_XACTS_PER_PAGE + entry,
      time,
      origin: view.getUint16(offset + 8, true),
    });
  }
  return entries;
}
