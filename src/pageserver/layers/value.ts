/**
 * What a layer holds for a key at an LSN. Its flags (one byte, four bits in use) say what the bytes are; the LSN is
 * that of the end of the WAL record that brought the value (for a value that no record brought, of the position that
 * it belongs to).
 *
 * A read goes from the newest value at or below its LSN back to one that needs no older one, then forward again,
 * applying records.
 */

/** Bits of the flags that say what the value is. */
export const VALUE_KIND_MASK = 0x03;
/** The whole content as of the LSN: a page, or whatever the key's kind says. Empty: it does not exist. */
export const VALUE_IMAGE = 0;
/** A whole WAL record as it stands in WAL, without page headers. What it does to the key, read/apply-value.ts says. */
export const VALUE_RECORD = 1;
/** A record that could not be ingested: UTF-8 text that says why. Whoever has to read past it gets an error. */
export const VALUE_POISON = 2;
/** Which bits a heap record clears in a page of the visibility map that it does not name: visibility-clears.ts. */
export const VALUE_VISIBILITY_CLEARS = 3;

/** Not with VALUE_IMAGE, for which it goes without saying: no older value is needed. What is applied is to a page of zeros. */
export const VALUE_NEEDS_NO_BASE = 0x04;
/** With VALUE_RECORD: hint bits were logged when the record was made (RedoSettings). */
export const VALUE_HINTS_LOGGED = 0x08;

export const VALUE_FLAGS_KNOWN: number = VALUE_KIND_MASK | VALUE_NEEDS_NO_BASE | VALUE_HINTS_LOGGED;

/** Bytes of one value. Longer records bring no value under a key. */
export const VALUE_BYTES_MAX: number = 256 * 1024 * 1024 - 1;

/** Whether older values do not matter for what comes of this one. */
export const isBase = (flags: number): boolean =>
  (flags & VALUE_KIND_MASK) === VALUE_IMAGE || (flags & VALUE_NEEDS_NO_BASE) !== 0;
