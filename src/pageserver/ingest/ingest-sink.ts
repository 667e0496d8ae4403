/**
 * Where ingest puts the values that a record brings. All of them are as of the end of the record under work, and no key
 * gets two of one record. `stem` is a number of the timeline's Stems.
 */
export interface IngestSink {
  /** The record under work itself, whose bytes the sink has. `flags`: VALUE_RECORD and what goes with it. */
  putRecord(stem: number, index: number, flags: number): void;
  /**
   * VALUE_VISIBILITY_CLEARS, in the first `length` bytes, which are copied. `flags`: that, and VALUE_NEEDS_NO_BASE if need
   * be.
   */
  putVisibilityClears(stem: number, index: number, flags: number, bytes: Uint8Array, length: number): void;
  /** An image. The bytes are copied. */
  putImage(stem: number, index: number, bytes: Uint8Array): void;
  /** The image of a page of zeros, of which there may be very many: the sink may store it once. */
  putZeroPage(stem: number, index: number): void;
  /**
   * VALUE_POISON, with VALUE_NEEDS_NO_BASE, since nothing older helps whoever meets it and there may be nothing. `text` is
   * UTF-8 and is copied.
   */
  putPoison(stem: number, index: number, text: Uint8Array): void;
}
