import { closeSync, fdatasyncSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { APPEND_BYTES_MAX } from '../../src/contracts/acceptor-messages.ts';
import { SEGMENT_BYTES } from './made-wal.ts';

/**
 * Writes so many bytes into segments, in pieces as long as appends, with so many syncs, evenly spread, and nothing
 * else. Returns how many milliseconds it took.
 */
export function writePlainly(directory: string, totalBytes: number, syncs: number): number {
  const piece = new Uint8Array(APPEND_BYTES_MAX).fill(0x5a);
  const syncEveryBytes = totalBytes / Math.max(1, syncs);
  const paths: string[] = [];
  const startMs = performance.now();
  let synced = 0;
  for (let at = 0; at < totalBytes; ) {
    const path = join(directory, `plain-${paths.length}`);
    paths.push(path);
    const file = openSync(path, 'w');
    ftruncateSync(file, SEGMENT_BYTES);
    for (let inFile = 0; inFile < SEGMENT_BYTES && at < totalBytes; ) {
      const count = writeSync(file, piece, 0, Math.min(piece.length, totalBytes - at), inFile);
      inFile += count;
      at += count;
      if (at - synced < syncEveryBytes) continue;
      fdatasyncSync(file);
      synced = at;
    }
    if (synced < at) fdatasyncSync(file);
    closeSync(file);
  }
  const ms = performance.now() - startMs;
  for (const path of paths) rmSync(path);
  return ms;
}
