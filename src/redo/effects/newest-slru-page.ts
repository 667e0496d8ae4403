import { SLRUS, slruPageOf } from '../../postgres/files/slru.ts';
import type { CheckpointCounters } from './checkpoint-counters.ts';
import type { SlruTruncateEffect } from './effect.ts';

/**
 * The newest page of an SLRU that a truncation must not pass (slru.c, latest_page_number): where the next id will be.
 * The highest page number that exists is not it once ids have wrapped around.
 *
 * Undefined for commit timestamps, which are cut without such a check.
 */
export function newestSlruPage(
  slru: SlruTruncateEffect['slru'],
  counters: Pick<CheckpointCounters, 'nextXid' | 'nextMulti'>,
): number | undefined {
  switch (slru) {
    case 'clog':
      return slruPageOf(SLRUS.clog, counters.nextXid % 2 ** 32);
    case 'multixact-offsets':
      return slruPageOf(SLRUS['multixact-offsets'], counters.nextMulti);
    case 'commit-timestamp':
      return undefined;
  }
}
