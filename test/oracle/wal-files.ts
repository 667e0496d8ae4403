import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { formatSegmentName, segmentNumber } from '../../src/postgres/wal/segment-name.ts';
import type { WalReader } from '../../src/postgres/wal/wal-reader.ts';

const CHUNK_BYTES = 1024 * 1024;

export interface WalFilesOptions {
  readonly directory: string;
  readonly timelineId: number;
  readonly segmentBytes: number;
}

/**
 * Feeds a reader from the segment files of a directory, from its position on, and calls `onRecord` for each record
 * until that says false, the reader finds the end of WAL, or there is no further segment.
 */
export function readWalFiles(reader: WalReader, options: WalFilesOptions, onRecord: () => boolean): void {
  const { directory, timelineId, segmentBytes } = options;
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (;;) {
    const segment = segmentNumber(reader.position, segmentBytes);
    const path = join(directory, formatSegmentName(timelineId, segment, segmentBytes));
    if (!existsSync(path)) return;
    const descriptor = openSync(path, 'r');
    try {
      let offset = reader.position % segmentBytes;
      while (offset < segmentBytes) {
        const length = readSync(descriptor, chunk, 0, Math.min(CHUNK_BYTES, segmentBytes - offset), offset);
        if (length === 0) return;
        reader.feed(chunk, 0, length);
        while (reader.next()) {
          if (!onRecord()) return;
        }
        if (reader.end !== undefined) return;
        offset += length;
      }
    } finally {
      closeSync(descriptor);
    }
  }
}
