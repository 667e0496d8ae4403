import { FIRST_NORMAL_XID, multixactPrecedes, xidPrecedes } from '../../postgres/files/slru.ts';

const TWO_POW_32 = 0x1_0000_0000;

/** AdvanceNextFullTransactionIdPastXid (varsup.c): the next full transaction id comes after this 32-bit one. */
export function advanceNextXidPast(counters: { nextXid: number }, xid: number): void {
  const next = counters.nextXid >>> 0;
  if (xidPrecedes(xid, next)) return;
  let epoch = Math.floor(counters.nextXid / TWO_POW_32);
  let following = (xid + 1) >>> 0;
  if (following < FIRST_NORMAL_XID) following = FIRST_NORMAL_XID;
  if (following < next) epoch++;
  counters.nextXid = epoch * TWO_POW_32 + following;
}

/** MultiXactAdvanceNextMXact: both only move forward. */
export function advanceNextMulti(
  counters: { nextMulti: number; nextMultiOffset: number },
  multi: number,
  offset: number,
): void {
  if (multixactPrecedes(counters.nextMulti, multi)) counters.nextMulti = multi;
  if (multixactPrecedes(counters.nextMultiOffset, offset)) counters.nextMultiOffset = offset;
}
