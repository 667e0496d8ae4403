/**
 * Keys of what a timeline stores: six numbers, 18 bytes big-endian, ordered as those bytes are. The six numbers are
 * Neon's (its pageserver_api, key.rs), so that its tools read ours; what they mean for each kind is in keys.ts.
 */
import { AssertionError, BadRequestError } from '../../base/errors.ts';

export interface Key {
  /** What kind of thing it is, see keys.ts. One byte. */
  readonly kind: number;
  /** For relations the tablespace. */
  readonly field2: number;
  /** For relations the database. */
  readonly field3: number;
  /** For relations the relation's number. */
  readonly field4: number;
  /** For relations the fork. One byte. */
  readonly field5: number;
  /** For relations the block number. */
  readonly index: number;
}

/** u8 + u32 + u32 + u32 + u8 + u32. */
export const KEY_BYTES: number = 1 + 4 + 4 + 4 + 1 + 4;
const U32_MAX = 0xffff_ffff;

/** The lowest key. */
export const KEY_MIN: Key = { kind: 0, field2: 0, field3: 0, field4: 0, field5: 0, index: 0 };
/** Above all keys that are used: the end of a range of all of them. */
export const KEY_MAX: Key = {
  kind: 0xff,
  field2: U32_MAX,
  field3: U32_MAX,
  field4: U32_MAX,
  field5: 0xff,
  index: U32_MAX,
};

/** Negative, zero or positive, as the order of the 18 bytes is. */
export function compareKeys(left: Key, right: Key): number {
  return (
    left.kind - right.kind ||
    left.field2 - right.field2 ||
    left.field3 - right.field3 ||
    left.field4 - right.field4 ||
    left.field5 - right.field5 ||
    left.index - right.index
  );
}

/** As compareKeys, of keys in their 18-byte form. Both must lie within their views. */
export function compareEncodedKeys(
  left: DataView,
  leftOffset: number,
  right: DataView,
  rightOffset: number,
): number {
  return (
    left.getUint32(leftOffset) - right.getUint32(rightOffset) ||
    left.getUint32(leftOffset + 4) - right.getUint32(rightOffset + 4) ||
    left.getUint32(leftOffset + 8) - right.getUint32(rightOffset + 8) ||
    left.getUint32(leftOffset + 12) - right.getUint32(rightOffset + 12) ||
    left.getUint16(leftOffset + 16) - right.getUint16(rightOffset + 16)
  );
}

export function writeKey(view: DataView, offset: number, key: Key): void {
  view.setUint8(offset, key.kind);
  view.setUint32(offset + 1, key.field2);
  view.setUint32(offset + 5, key.field3);
  view.setUint32(offset + 9, key.field4);
  view.setUint8(offset + 13, key.field5);
  view.setUint32(offset + 14, key.index);
}

export function readKey(view: DataView, offset: number): Key {
  return {
    kind: view.getUint8(offset),
    field2: view.getUint32(offset + 1),
    field3: view.getUint32(offset + 5),
    field4: view.getUint32(offset + 9),
    field5: view.getUint8(offset + 13),
    index: view.getUint32(offset + 14),
  };
}

const scratch = new DataView(new ArrayBuffer(KEY_BYTES));

/** 36 upper-case hexadecimal digits. */
export function formatKey(key: Key): string {
  writeKey(scratch, 0, key);
  let text = '';
  for (let offset = 0; offset < KEY_BYTES; offset++) {
    text += scratch.getUint8(offset).toString(16).padStart(2, '0');
  }
  return text.toUpperCase();
}

/** @throws BadRequestError for anything but 36 hexadecimal digits */
export function parseKey(text: string): Key {
  if (!/^[0-9A-Fa-f]{36}$/.test(text)) {
    throw new BadRequestError('BAD_KEY', `"${text}" is no key: 36 hexadecimal digits are`);
  }
  for (let offset = 0; offset < KEY_BYTES; offset++) {
    scratch.setUint8(offset, Number.parseInt(text.slice(offset * 2, offset * 2 + 2), 16));
  }
  return readKey(scratch, 0);
}

/** The key right after this one in order: the exclusive end of a range that is to end with it. */
export function nextKey(key: Key): Key {
  if (key.index < U32_MAX) return { ...key, index: key.index + 1 };
  if (key.field5 < 0xff) return { ...key, field5: key.field5 + 1, index: 0 };
  if (key.field4 < U32_MAX) return { ...key, field4: key.field4 + 1, field5: 0, index: 0 };
  if (key.field3 < U32_MAX) return { ...key, field3: key.field3 + 1, field4: 0, field5: 0, index: 0 };
  if (key.field2 < U32_MAX)
    return { ...key, field2: key.field2 + 1, field3: 0, field4: 0, field5: 0, index: 0 };
  if (key.kind >= 0xff) throw new AssertionError('no key comes after the highest');
  return { kind: key.kind + 1, field2: 0, field3: 0, field4: 0, field5: 0, index: 0 };
}

export function equalKeys(left: Key, right: Key): boolean {
  return compareKeys(left, right) === 0;
}
