import { AssertionError } from '../../base/errors.ts';
import { isBase } from './value.ts';

const INITIAL = 64;
const ROOM_BYTES = 64 * 1024;
/** Larger room is not kept for the next read. */
const KEPT_ROOM_BYTES = 1024 * 1024;
const NO_ROOM = new Uint8Array(0);
const NO_VIEW = new DataView(NO_ROOM.buffer);

/**
 * The values of one key that a read has found so far, from the newest to older ones. To be used again and again:
 * finding a value makes no object.
 */
export class FoundValues {
  /** How many there are. What is in the lists behind them means nothing. */
  count = 0;
  /** The last one needs no older value: there is nothing more to look for. */
  isComplete = false;
  /** The search has ended at images above its floor that have no value of the key: it did not exist then. */
  isAbsent = false;
  readonly bytes: Uint8Array[] = new Array<Uint8Array>(INITIAL).fill(NO_ROOM);
  /** Over the memory of `bytes` of the same index. */
  readonly views: DataView[] = new Array<DataView>(INITIAL).fill(NO_VIEW);
  offsets: Float64Array = new Float64Array(INITIAL);
  lengths: Float64Array = new Float64Array(INITIAL);
  lsns: Float64Array = new Float64Array(INITIAL);
  flags: Uint8Array = new Uint8Array(INITIAL);
  /** Memory for values that lie in one piece nowhere else: see `pushRoom`. Used anew after `clear`. */
  room: Uint8Array = NO_ROOM;
  #roomView: DataView = NO_VIEW;
  #usedRoomBytes = 0;

  clear(): void {
    this.#letGo(0);
    this.isComplete = false;
    this.isAbsent = false;
    if (this.bytes.length > INITIAL) {
      this.bytes.length = INITIAL;
      this.views.length = INITIAL;
    }
    this.#usedRoomBytes = 0;
    if (this.room.length > KEPT_ROOM_BYTES) this.#setRoom(0);
  }

  /** Takes back what was added after there were `count`: a search of a layer that lacked a block. */
  takeBackTo(count: number): void {
    if (count > this.count) throw new AssertionError('values cannot be taken back that were never found');
    if (count < this.count) this.isComplete = false;
    this.#letGo(count);
  }

  /** `bytes[offset, offset + length)` is the value: see value.ts. Not copied. */
  push(bytes: Uint8Array, view: DataView, offset: number, length: number, lsn: number, flags: number): void {
    if (this.isComplete) throw new AssertionError('a value was added below a base', { lsn });
    const index = this.count;
    if (index === this.offsets.length) this.#grow();
    this.bytes[index] = bytes;
    this.views[index] = view;
    this.offsets[index] = offset;
    this.lengths[index] = length;
    this.lsns[index] = lsn;
    this.flags[index] = flags;
    this.count = index + 1;
    this.isComplete = isBase(flags);
  }

  /** As `push`, of a value that the caller then writes to `room`, from the index on that is returned. */
  pushRoom(length: number, lsn: number, flags: number): number {
    if (this.room.length - this.#usedRoomBytes < length) {
      // What was found before stays where it is: `bytes` holds on to it.
      this.#setRoom(Math.max(length, ROOM_BYTES));
      this.#usedRoomBytes = 0;
    }
    const offset = this.#usedRoomBytes;
    this.push(this.room, this.#roomView, offset, length, lsn, flags);
    this.#usedRoomBytes = Math.ceil((offset + length) / 8) * 8;
    return offset;
  }

  /**
   * Reads the first and the last byte of each value, for who is going to read all of them one after another: a processor
   * fetches them at the same time, and not each of them when its turn comes. Returns nothing of use.
   */
  touch(): number {
    const { count, views, offsets, lengths } = this;
    let bits = 0;
    for (let index = 0; index < count; index++) {
      const view = views[index] as DataView;
      const offset = offsets[index] as number;
      const length = lengths[index] as number;
      if (length > 0) bits |= view.getUint8(offset) | view.getUint8(offset + length - 1);
    }
    return bits;
  }

  /** Blocks that were found are not kept in memory. The lists stay as long as they are: a shorter one gets memory anew. */
  #letGo(count: number): void {
    for (let index = count; index < this.count; index++) {
      this.bytes[index] = NO_ROOM;
      this.views[index] = NO_VIEW;
    }
    this.count = count;
  }

  #setRoom(lengthBytes: number): void {
    this.room = lengthBytes === 0 ? NO_ROOM : new Uint8Array(lengthBytes);
    this.#roomView = new DataView(this.room.buffer);
  }

  #grow(): void {
    const size = this.offsets.length * 2;
    const grow = (old: Float64Array): Float64Array => {
      const bigger = new Float64Array(size);
      bigger.set(old);
      return bigger;
    };
    this.offsets = grow(this.offsets);
    this.lengths = grow(this.lengths);
    this.lsns = grow(this.lsns);
    const flags = new Uint8Array(size);
    flags.set(this.flags);
    this.flags = flags;
  }
}
