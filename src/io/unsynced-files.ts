import type { Files } from './files.ts';
import { wrapSyncs } from './wrap-syncs.ts';

/** A files door that calls everything durable at once, which is a lie: for benchmarks that want no disk in them. */
export function unsyncedFiles(files: Files): Files {
  return wrapSyncs(files, async () => undefined);
}
