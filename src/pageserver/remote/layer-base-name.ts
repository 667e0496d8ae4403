/** Names of layers as an index has them: without the generation, see layers/layer-name.ts. */
const KEY_DIGITS = 36;
const LSN_DIGITS = 16;
const KEYS_END: number = KEY_DIGITS + 1 + KEY_DIGITS;
const LSN_START: number = KEYS_END + 2;
const LSN_END: number = LSN_START + LSN_DIGITS;
/** 2^53 in the digits of an LSN. */
const LSN_LIMIT = '0020000000000000';
const PATTERN = /^[0-9A-F]{36}-[0-9A-F]{36}__[0-9A-F]{16}(?:-[0-9A-F]{16})?$/;

/**
 * Whether a layer can have this name: ranges that are not empty, LSNs below 2^53. As `parseLayerName` says it,
 * for a hundred thousand names in a row: it makes no keys.
 */
export function isLayerBaseName(name: string): boolean {
  if (!PATTERN.test(name)) return false;
  // Digits of one length sort as the numbers do.
  if (name.slice(0, KEY_DIGITS) >= name.slice(KEY_DIGITS + 1, KEYS_END)) return false;
  const start = name.slice(LSN_START, LSN_END);
  if (start >= LSN_LIMIT) return false;
  // The end of an image layer is the next LSN, which must be one too.
  if (name.length === LSN_END) return start !== '001FFFFFFFFFFFFF';
  const end = name.slice(LSN_END + 1);
  return start < end && end < LSN_LIMIT;
}
