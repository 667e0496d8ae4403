/**
 * A sequence of values in the order of (key, LSN), looked at one after another. What stands for the current value is
 * overwritten by the next one, and the bytes may be: whoever wants to keep them copies them.
 */
export interface SortedValues {
  /** Over the memory that the current value's key is in, in its 18-byte form. */
  readonly keyView: DataView;
  readonly keyOffset: number;
  readonly lsn: number;
  /** See value.ts. */
  readonly flags: number;
  /** `bytes[offset, offset + length)` is the value. */
  readonly bytes: Uint8Array;
  /** Over the same memory. */
  readonly view: DataView;
  readonly offset: number;
  readonly length: number;
  /** Goes on to the next value, if that is in memory. Where it is not, there is no current value until `next`. */
  advance(): boolean;
  /** Goes on to the next value by reading it. False: there is none any more. */
  next(): Promise<boolean>;
}
