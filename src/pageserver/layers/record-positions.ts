/**
 * Where records begin and end, so that for any LSN of the history the last record at or below it is known without WAL:
 * a branch begins at the end of a record, and a server that starts there needs that record's start.
 *
 * Kept for stretches of WAL of STRETCH_BYTES, each under a key of its own. A record counts to the stretch in which it
 * begins. The value is a row of LEB128 numbers in units of 8 bytes, two for each record: the gap between the end of the one before
 * (for the first: the beginning of the stretch) and its start, and its length, page headers within it included.
 */
import { AssertionError, CorruptionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { Key } from '../keyspace/key.ts';
import { KIND_RECORD_POSITIONS } from '../keyspace/keys.ts';

export const STRETCH_BYTES = 16_384;
const UNIT_BYTES = 8;
const TWO_POW_32 = 0x1_0000_0000;

export interface RecordPosition {
  readonly startLsn: Lsn;
  /** First aligned LSN past it. */
  readonly endLsn: Lsn;
}

export const stretchOf = (lsn: number): number => Math.floor(lsn / STRETCH_BYTES);

export function recordPositionsKey(stretch: number): Key {
  return {
    kind: KIND_RECORD_POSITIONS,
    field2: 0,
    field3: Math.floor(stretch / TWO_POW_32),
    field4: 0,
    field5: 0,
    index: stretch >>> 0,
  };
}

/** The stretch of a key of this kind. */
export const stretchOfKey = (key: Key): number => key.field3 * TWO_POW_32 + key.index;

/** The records of the stretch that is being written. Nothing is allocated for a record. */
export class RecordPositions {
  /** -1 before the first record. */
  stretch = -1;
  length = 0;
  bytes: Uint8Array = new Uint8Array(1024);
  #endLsn = 0;

  /** Goes on from what has been stored of a stretch, such as after a restart. */
  resume(stretch: number, stored: Uint8Array): void {
    this.stretch = stretch;
    this.#endLsn = stretch * STRETCH_BYTES;
    for (const { endLsn } of decodeRecordPositions(stretch, stored)) this.#endLsn = endLsn;
    this.length = stored.length;
    if (this.bytes.length < stored.length) this.bytes = new Uint8Array(stored.length * 2);
    this.bytes.set(stored);
  }

  /** Begins with the stretch of a record. */
  begin(stretch: number): void {
    this.stretch = stretch;
    this.length = 0;
    this.#endLsn = stretch * STRETCH_BYTES;
  }

  /** Adds the record that begins after those that were added, in this stretch. */
  add(startLsn: number, endLsn: number): void {
    if (startLsn < this.#endLsn || endLsn <= startLsn) {
      throw new AssertionError('records do not follow one another', { lsn: startLsn });
    }
    this.#write((startLsn - this.#endLsn) / UNIT_BYTES);
    this.#write((endLsn - startLsn) / UNIT_BYTES);
    this.#endLsn = endLsn;
  }

  #write(value: number): void {
    if (this.length + 10 > this.bytes.length) {
      const bigger = new Uint8Array(this.bytes.length * 2);
      bigger.set(this.bytes);
      this.bytes = bigger;
    }
    let rest = value;
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.bytes[this.length++] = rest;
  }
}

/** @throws CorruptionError for bytes that are no such value */
export function decodeRecordPositions(stretch: number, value: Uint8Array): RecordPosition[] {
  const positions: RecordPosition[] = [];
  let at = 0;
  const read = (): number => {
    let number = 0;
    for (let factor = 1; factor <= 2 ** 49; factor *= 0x80) {
      const byte = value[at++];
      if (byte === undefined) return damaged(stretch, 'it is cut off');
      number += (byte & 0x7f) * factor;
      if (byte < 0x80) return number * UNIT_BYTES;
    }
    return damaged(stretch, 'a number in it is too long');
  };
  let end = stretch * STRETCH_BYTES;
  while (at < value.length) {
    const startLsn = end + read();
    end = startLsn + read();
    if (end <= startLsn || stretchOf(startLsn) !== stretch || end > Number.MAX_SAFE_INTEGER) {
      damaged(stretch, 'a record lies outside of it');
    }
    positions.push({ startLsn: startLsn as Lsn, endLsn: end as Lsn });
  }
  return positions;
}

function damaged(stretch: number, reason: string): never {
  throw new CorruptionError('BAD_RECORD_POSITIONS', `the list of records is damaged: ${reason}`, {
    lsn: stretch * STRETCH_BYTES,
  });
}
