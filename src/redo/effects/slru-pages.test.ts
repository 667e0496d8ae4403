import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AssertionError } from '../../base/errors.ts';
import { Page } from '../../postgres/page/page.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import { applySlruPageEffect, slruOfEffect } from './slru-pages.ts';

describe('clog pages', () => {
  test('two bits a transaction, four to a byte, from the low end', () => {
    const page = new Page();
    const xids = [32_768, 32_769, 32_771, 65_535];
    applySlruPageEffect(page, { kind: 'transaction-status', page: 1, xids, status: 'committed' });
    expect(page.bytes[0]).toBe(0b01_00_01_01);
    expect(page.bytes[BLOCK_BYTES - 1]).toBe(0b01_00_00_00);
    applySlruPageEffect(page, { kind: 'transaction-status', page: 1, xids: [32_770], status: 'aborted' });
    expect(page.bytes[0]).toBe(0b01_10_01_01);
  });

  test.each([0, 1, 2, 3])('overwrites the state %d and leaves its neighbours', (state) => {
    const page = new Page();
    page.bytes[5] = 0b11_00_00_11 | (state << 2) | (state << 4);
    applySlruPageEffect(page, { kind: 'transaction-status', page: 0, xids: [21], status: 'committed' });
    applySlruPageEffect(page, { kind: 'transaction-status', page: 0, xids: [22], status: 'aborted' });
    expect(page.bytes[5]).toBe(0b11_10_01_11);
  });
});

describe('commit timestamp pages', () => {
  test('ten bytes a transaction', () => {
    const page = new Page();
    const time = -0x0102_0304_0506_0708n;
    applySlruPageEffect(page, {
      kind: 'commit-timestamp',
      page: 2,
      xids: [1639, 2456],
      time,
      origin: 0xabcd,
    });
    for (const offset of [10, 8180]) {
      expect(page.view.getBigInt64(offset, true)).toBe(time);
      expect(page.view.getUint16(offset + 8, true)).toBe(0xabcd);
    }
    expect(page.bytes.subarray(0, 10).every((byte) => byte === 0)).toBe(true);
    expect(page.bytes.subarray(20, 8180).every((byte) => byte === 0)).toBe(true);
  });
});

describe('multixact pages', () => {
  test('offsets', () => {
    const page = new Page();
    const effect = { kind: 'multixact-offsets', page: 3, previousPage: undefined } as const;
    applySlruPageEffect(page, { ...effect, multixacts: [6144, 8191], offsets: [0xffff_ffff, 7] });
    expect(page.view.getUint32(0, true)).toBe(0xffff_ffff);
    expect(page.view.getUint32(BLOCK_BYTES - 4, true)).toBe(7);
  });

  test('members: groups of four bytes of flags and four xids', () => {
    const page = new Page();
    page.bytes.fill(0xee);
    const xids = [11, 12, 13];
    const statuses = [0, 5, 3];
    applySlruPageEffect(page, { kind: 'multixact-members', page: 1, startOffset: 1636 + 3, xids, statuses });
    expect([...page.bytes.subarray(0, 4)]).toEqual([0xee, 0xee, 0xee, 0]);
    expect(page.view.getUint32(16, true)).toBe(11);
    expect([...page.bytes.subarray(20, 24)]).toEqual([5, 3, 0xee, 0xee]);
    expect(page.view.getUint32(24, true)).toBe(12);
    expect(page.view.getUint32(28, true)).toBe(13);
    expect(page.view.getUint32(32, true)).toBe(0xeeee_eeee);
  });

  test('the last member of a page leaves its last 12 bytes alone', () => {
    const page = new Page();
    page.bytes.fill(0xee);
    applySlruPageEffect(page, {
      kind: 'multixact-members',
      page: 0,
      startOffset: 1635,
      xids: [9],
      statuses: [1],
    });
    expect(page.view.getUint32(BLOCK_BYTES - 16, true)).toBe(9);
    expect(page.bytes.subarray(BLOCK_BYTES - 12).every((byte) => byte === 0xee)).toBe(true);
  });
});

describe('SLRU effects', () => {
  test('zeroing', () => {
    const page = new Page();
    page.bytes.fill(1);
    const effect = { kind: 'slru-zero-page', slru: 'multixact-members', page: 3 } as const;
    applySlruPageEffect(page, effect);
    expect(page.bytes.every((byte) => byte === 0)).toBe(true);
    expect(slruOfEffect(effect)).toBe('multixact-members');
    expect(slruOfEffect({ kind: 'transaction-status', page: 0, xids: [], status: 'aborted' })).toBe('clog');
  });

  test('an entry that is not on the page is a bug', () => {
    const effect = { kind: 'transaction-status', page: 1, xids: [3], status: 'aborted' } as const;
    expect(() => applySlruPageEffect(new Page(), effect)).toThrow(AssertionError);
  });

  test('each entry keeps to its own bits', () => {
    const entries = fc.uniqueArray(fc.integer({ min: 0, max: 32_767 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(entries, entries, (committed, others) => {
        const aborted = others.filter((xid) => !committed.includes(xid));
        const page = new Page();
        applySlruPageEffect(page, {
          kind: 'transaction-status',
          page: 0,
          xids: committed,
          status: 'committed',
        });
        applySlruPageEffect(page, { kind: 'transaction-status', page: 0, xids: aborted, status: 'aborted' });
        const status = (xid: number): number => ((page.bytes[xid >> 2] as number) >> ((xid & 3) * 2)) & 3;
        const set = new Map([
          ...committed.map((xid) => [xid, 1] as const),
          ...aborted.map((xid) => [xid, 2] as const),
        ]);
        for (let xid = 0; xid < 32_768; xid++) if (status(xid) !== (set.get(xid) ?? 0)) return false;
        return true;
      }),
      { numRuns: 50 },
    );
  });
});
