/** Where two pages differ, in the terms of the page. */
import {
  LINE_POINTER_BYTES,
  LINE_UNUSED,
  lineCount,
  lineFlags,
  lineItemLength,
  lineItemOffset,
  linePointerOffset,
  PAGE_CHECKSUM,
  PAGE_FLAGS,
  PAGE_HEADER_BYTES,
  PAGE_LOWER,
  PAGE_PRUNE_XID,
  PAGE_SIZE_VERSION,
  PAGE_SPECIAL,
  PAGE_UPPER,
  type Page,
} from '../postgres/page/page.ts';
import { BLOCK_BYTES } from '../postgres/wal/record-header.ts';
import { bytesText } from './plain-value.ts';

/** A run of bytes that differ, all of one region. */
export interface Difference {
  readonly region: string;
  readonly offset: number;
  /** How many bytes differ. A few equal ones may lie between them. */
  readonly differing: number;
  readonly left: Uint8Array;
  readonly right: Uint8Array;
}

const HEADER_FIELDS: readonly (readonly [string, number])[] = [
  ['lsn', 0],
  ['checksum', PAGE_CHECKSUM],
  ['flags', PAGE_FLAGS],
  ['lower', PAGE_LOWER],
  ['upper', PAGE_UPPER],
  ['special', PAGE_SPECIAL],
  ['size and version', PAGE_SIZE_VERSION],
  ['prune xid', PAGE_PRUNE_XID],
];
/** Equal bytes within a run that do not end it. */
const GAP_BYTES = 4;

/** The runs of bytes that differ, in the order of their offsets. Regions are those of the right page. */
export function findDifferences(left: Page, right: Page): Difference[] {
  if (Buffer.compare(left.bytes, right.bytes) === 0) return [];
  const regions = nameRegions(right);
  const differences: Difference[] = [];
  let start = -1;
  let last = -1;
  let differing = 0;
  const finish = (): void => {
    if (start < 0) return;
    differences.push({
      region: regions[start] as string,
      offset: start,
      differing,
      left: left.bytes.slice(start, last + 1),
      right: right.bytes.slice(start, last + 1),
    });
    start = -1;
    differing = 0;
  };
  for (let offset = 0; offset < BLOCK_BYTES; offset++) {
    if (left.bytes[offset] === right.bytes[offset]) continue;
    if (start >= 0 && (offset - last > GAP_BYTES || regions[offset] !== regions[start])) finish();
    if (start < 0) start = offset;
    last = offset;
    differing++;
  }
  finish();
  return differences;
}

/** A difference as a line. */
export const differenceText = ({ region, offset, left, right }: Difference): string =>
  `${String(offset).padStart(4)} ${region}: ${bytesText(left)} → ${bytesText(right)}`;

/** What each byte of a page belongs to. Items may overlap on a damaged page: the later line wins. */
function nameRegions(page: Page): string[] {
  const { view } = page;
  const regions = new Array<string>(BLOCK_BYTES).fill('free space');
  for (const [index, [name, start]] of HEADER_FIELDS.entries()) {
    regions.fill(`header: ${name}`, start, HEADER_FIELDS[index + 1]?.[1] ?? PAGE_HEADER_BYTES);
  }
  const special = view.getUint16(PAGE_SPECIAL, true);
  const upper = view.getUint16(PAGE_UPPER, true);
  if (upper >= PAGE_HEADER_BYTES && upper <= special && special <= BLOCK_BYTES) {
    regions.fill('items', upper, special);
    regions.fill('special space', special);
  }
  for (let line = 1; line <= lineCount(page); line++) {
    const at = linePointerOffset(line);
    const pointer = view.getUint32(at, true);
    regions.fill(`line pointer ${line}`, at, at + LINE_POINTER_BYTES);
    const offset = lineItemOffset(pointer);
    const end = offset + lineItemLength(pointer);
    if (lineFlags(pointer) === LINE_UNUSED || offset < PAGE_HEADER_BYTES || end > BLOCK_BYTES) continue;
    regions.fill(`item ${line}`, offset, end);
  }
  return regions;
}
