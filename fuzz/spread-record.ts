import type { DecodedRecord } from '../src/postgres/wal/decoded-record.ts';

const GAP_BYTES = 64;

/**
 * Makes `target` the same record as `source`, but with `fill` before and behind each of its parts (images, block data,
 * main data): who reads beyond the end of one gets other bytes than in the record itself.
 */
export function spreadRecord(source: DecodedRecord, target: DecodedRecord, fill: number): void {
  // Its lengths may have been changed since it was decoded.
  target.decode(source.bytes, source.view, source.offset, source.totalLength, source.startLsn, source.endLsn);
  const bytes = new Uint8Array(source.totalLength + GAP_BYTES * (2 * source.blockCount + 3)).fill(fill);
  const header = source.bytes.subarray(source.offset, source.offset + source.totalLength);
  let end = 0;
  const put = (start: number, length: number): number => {
    const place = end;
    bytes.set(header.subarray(start - source.offset, start - source.offset + length), place);
    end += length + GAP_BYTES;
    return place;
  };
  // The header, since replay reads its fields through the record's own offset.
  target.offset = put(source.offset, 24);
  for (let id = 0; id < source.blockCount; id++) {
    if (!source.hasBlock(id)) continue;
    target.blockImageOffset[id] = put(
      source.blockImageOffset[id] as number,
      source.blockImageLength[id] as number,
    );
    target.blockDataLength[id] = source.blockDataLength[id] as number;
    target.blockDataOffset[id] = put(
      source.blockDataOffset[id] as number,
      source.blockDataLength[id] as number,
    );
  }
  target.mainDataLength = source.mainDataLength;
  target.mainDataOffset = put(source.mainDataOffset, source.mainDataLength);
  target.bytes = bytes;
  target.view = new DataView(bytes.buffer);
}
