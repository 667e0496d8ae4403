import { Counter, Family } from '../../observe/metric-cells.ts';
import { TASK_KINDS, type TaskKind } from './read-context.ts';

/** What a cache holds a thing of. */
export type ContentKind = 'delta' | 'image' | 'index' | 'open-layer' | 'page';

export const CACHE_COUNT_LABELS: readonly string[] = ['content', 'task'];

/** A cell for each who asks. */
export type CounterByTask = Readonly<Record<TaskKind, Counter>>;

/** How often something was found, and how often not, by what it was and who asked. */
export class CacheCounts {
  readonly hits: Family<Counter>;
  readonly misses: Family<Counter>;

  /** @param hits and misses have the labels CACHE_COUNT_LABELS */
  constructor(
    hits: Family<Counter> = new Family(CACHE_COUNT_LABELS, () => new Counter()),
    misses: Family<Counter> = new Family(CACHE_COUNT_LABELS, () => new Counter()),
  ) {
    this.hits = hits;
    this.misses = misses;
  }
}

/** The cells of one content, to be kept by who counts often. */
export function countersByTask(family: Family<Counter>, content: ContentKind): CounterByTask {
  const cells = TASK_KINDS.map((task) => [task, family.of(content, task)]);
  return Object.fromEntries(cells) as Record<TaskKind, Counter>;
}
