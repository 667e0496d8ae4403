/**
 * Records begin and end at multiples of 8, so between the end of a record and the first LSN that a later one can end at
 * there are seven that no record has. What is stored beside WAL as of the end of a record gets one of them: it comes after
 * that record, and before all later ones.
 */
const ALIGNMENT = 8;

/** The last LSN that belongs to the state at the end of a record: what is stored beside WAL is at or below. */
export const lastLsnBeside = (recordEndLsn: number): number => recordEndLsn + ALIGNMENT - 1;

/** The last LSN that belongs to the state at any LSN. */
export const lastLsnOfState = (lsn: number): number => lastLsnBeside(lsn - (lsn % ALIGNMENT));
