import { expect, test } from 'vitest';
import {
  CLOG_XACTS_PER_PAGE,
  COMMIT_TS_XACTS_PER_PAGE,
  MULTIXACT_MEMBERS_PER_PAGE,
  MULTIXACT_OFFSETS_PER_PAGE,
} from '../../postgres/files/slru.ts';
import { Page } from '../../postgres/page/page.ts';
import { applySlruPageEffect } from '../../redo/effects/slru-pages.ts';
import { describeSlruPage } from './slru.ts';

test('clog: runs of transactions that ended in the same way, up to the end of the page', () => {
  const page = new Page();
  const first = 3 * CLOG_XACTS_PER_PAGE;
  const xids = [first, first + 1, first + 2, first + 7, first + CLOG_XACTS_PER_PAGE - 1];
  applySlruPageEffect(page, {
    kind: 'transaction-status',
    page: 3,
    xids: xids.slice(0, 4),
    status: 'committed',
  });
  applySlruPageEffect(page, { kind: 'transaction-status', page: 3, xids: xids.slice(4), status: 'aborted' });
  page.bytes[1] = (page.bytes[1] as number) | (3 << 4);
  expect(describeSlruPage('clog', page, 3)).toEqual([
    { xid: first, count: 3, status: 'committed' },
    { xid: first + 6, count: 1, status: 'subcommitted' },
    { xid: first + 7, count: 1, status: 'committed' },
    { xid: first + CLOG_XACTS_PER_PAGE - 1, count: 1, status: 'aborted' },
  ]);
});

test('what is zero is left out, also at the end of the page', () => {
  const page = new Page();
  for (const name of ['clog', 'multixact-offsets', 'multixact-members', 'commit-timestamp'] as const) {
    expect(describeSlruPage(name, page, 0)).toEqual([]);
  }
  page.view.setUint32((MULTIXACT_OFFSETS_PER_PAGE - 1) * 4, 77, true);
  expect(describeSlruPage('multixact-offsets', page, 2)).toEqual([
    { multixact: 3 * MULTIXACT_OFFSETS_PER_PAGE - 1, offset: 77 },
  ]);
});

test('members stand in groups of four, flags first', () => {
  const page = new Page();
  // The second member of the second group.
  page.bytes[20 + 1] = 4;
  page.view.setUint32(20 + 4 + 4, 801, true);
  expect(describeSlruPage('multixact-members', page, 1)).toEqual([
    { member: MULTIXACT_MEMBERS_PER_PAGE + 5, xid: 801, flags: 4 },
  ]);
});

test('commit timestamps', () => {
  const page = new Page();
  page.view.setBigInt64(10, 5n, true);
  page.view.setUint16(18, 2, true);
  expect(describeSlruPage('commit-timestamp', page, 1)).toEqual([
    { xid: COMMIT_TS_XACTS_PER_PAGE + 1, time: 5n, origin: 2 },
  ]);
});
