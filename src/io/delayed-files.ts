import type { Clock } from './clock.ts';
import type { Files } from './files.ts';
import { wrapSyncs } from './wrap-syncs.ts';

/** A files door whose syncs take longer by `delayMs`: a slow disk, for benchmarks and tests. */
export function delayedFiles(files: Files, clock: Clock, delayMs: number): Files {
  return wrapSyncs(files, async (sync) => {
    await new Promise<void>((resolve) => {
      clock.setTimer(delayMs, resolve);
    });
    await sync();
  });
}
