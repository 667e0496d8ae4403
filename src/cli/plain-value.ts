/** Decoded values, of records and of pages, as JSON and as text. */
import { formatLsn } from '../base/lsn.ts';
import { INVALID_BLOCK_NUMBER } from '../postgres/page/item-pointer.ts';

/** Bytes that JSON shows whole. A record can hold a gibibyte, which no string can. */
const JSON_BYTES_MAX = 1024 * 1024;
const TEXT_BYTES_MAX = 40;
const TEXT_ITEMS_MAX = 60;
/** Microseconds from 1970 to 2000, where PostgreSQL's time begins. */
const EPOCH_US = 946_684_800_000_000n;

const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');

const isLsnName = (name: string): boolean => ['lsn', 'nsn', 'redo'].includes(name) || name.endsWith('Lsn');
const isTimeName = (name: string): boolean =>
  name === 'time' || name.endsWith('Time') || name === 'preparedAt';

/**
 * A value that JSON can hold: LSNs as PostgreSQL writes them, big integers as strings, bytes in hexadecimal (of more
 * than a mebibyte, an object with the length and the beginning). `name` is the field that holds it.
 */
export function toJsonValue(value: unknown, name = ''): unknown {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number') return isLsnName(name) ? formatLsn(value) : value;
  if (value instanceof Uint8Array) {
    if (value.length <= JSON_BYTES_MAX) return hex(value);
    return { lengthBytes: value.length, beginning: hex(value.subarray(0, JSON_BYTES_MAX)) };
  }
  if (Array.isArray(value)) return value.map((item) => toJsonValue(item));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return Object.fromEntries(entries.map(([inner, held]) => [inner, toJsonValue(held, inner)]));
}

/** One line for people: `offsetNumber 3, flags 0x08`. Long lists and bytes are cut, and say so. */
export function toText(value: unknown, name = ''): string {
  if (typeof value === 'bigint') return isTimeName(name) ? timeText(value) : String(value);
  if (typeof value === 'number') return numberText(value, name);
  if (typeof value === 'string') return quoteUnlessPlain(value);
  if (value instanceof Uint8Array) return bytesText(value);
  if (Array.isArray(value)) {
    const items = value.slice(0, TEXT_ITEMS_MAX).map((item) => toText(item, name));
    if (value.length > TEXT_ITEMS_MAX) items.push(`and ${value.length - TEXT_ITEMS_MAX} more`);
    return `[${items.join(', ')}]`;
  }
  if (typeof value !== 'object' || value === null) return String(value);
  const { tablespace, database, relation, ...rest } = value as Record<string, unknown>;
  const isLocator =
    typeof tablespace === 'number' && typeof relation === 'number' && Object.keys(rest).length === 0;
  return isLocator ? `${tablespace}/${database}/${relation}` : `{${fieldsText(value)}}`;
}

/** The fields of an object without braces. What is absent or an empty list is left out. */
export function fieldsText(value: object): string {
  const parts: string[] = [];
  for (const [name, held] of Object.entries(value)) {
    if (held === undefined || (Array.isArray(held) && held.length === 0)) continue;
    parts.push(`${name} ${toText(held, name)}`);
  }
  return parts.join(', ');
}

function numberText(value: number, name: string): string {
  if (isLsnName(name)) return formatLsn(value);
  if (value === INVALID_BLOCK_NUMBER && /(block|link|bucket|sibling|head|tail|child)$/i.test(name))
    return 'none';
  if (/(flags?|infomask2?|infobits|xinfo)$/i.test(name)) return `0x${value.toString(16).padStart(2, '0')}`;
  return String(value);
}

export function bytesText(bytes: Uint8Array): string {
  if (bytes.length === 0) return '(0 bytes)';
  const isCut = bytes.length > TEXT_BYTES_MAX;
  return `${hex(bytes.subarray(0, TEXT_BYTES_MAX))}${isCut ? '…' : ''} (${bytes.length} bytes)`;
}

/** PostgreSQL's microseconds since 2000; a checkpoint's seconds since 1970 are far below any such time. */
function timeText(value: bigint): string {
  const isSeconds = value > 0n && value < 100_000_000_000n;
  const milliseconds = isSeconds ? value * 1000n : (value + EPOCH_US) / 1000n;
  const date = new Date(Number(milliseconds));
  return Number.isNaN(date.getTime()) || value === 0n ? String(value) : date.toISOString();
}

/** Text from outside must not move the cursor or fake a line. */
export function quoteUnlessPlain(text: string): string {
  if (/^[\w./+(),:-]+$/.test(text)) return text;
  return JSON.stringify(text).replace(
    /[\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
