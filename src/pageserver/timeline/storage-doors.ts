import type { Clock } from '../../io/clock.ts';
import type { Files } from '../../io/files.ts';
import type { Limiter } from '../../io/limiter.ts';
import type { Random } from '../../io/random.ts';
import type { Workers } from '../../io/workers.ts';
import type { Logger } from '../../observe/log.ts';
import type { InitialArtefacts } from '../initial/initial-artefacts.ts';
import type { jobs } from '../jobs.ts';
import type { BlockCache } from '../layers/block-cache.ts';
import type { PageSlots } from '../layers/page-slots.ts';
import type { PageserverMetrics } from '../metrics.ts';
import type { RemoteDoors } from '../remote/remote-timeline.ts';

/** What all timelines of a pageserver share. */
export interface StorageDoors {
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly workers: Workers<typeof jobs>;
  readonly blocks: BlockCache;
  readonly pages: PageSlots;
  readonly remote: RemoteDoors;
  readonly metrics: PageserverMetrics;
  /** Compaction, images and garbage collection of all timelines together. */
  readonly background: Limiter;
  /** What new timelines are made of; undefined where this pageserver cannot make any. */
  readonly initialArtefacts: InitialArtefacts | undefined;
}
