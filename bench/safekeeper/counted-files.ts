import type { Files } from '../../src/io/files.ts';
import { wrapSyncs } from '../../src/io/wrap-syncs.ts';

/** Syncs that have been asked for, and how long all of them took together. */
export interface SyncCount {
  syncs: number;
  ms: number;
}

/** A files door that counts the syncs that go through it. */
export function countedFiles(files: Files, count: SyncCount): Files {
  return wrapSyncs(files, async (sync) => {
    const startMs = performance.now();
    await sync();
    count.syncs++;
    count.ms += performance.now() - startMs;
  });
}
