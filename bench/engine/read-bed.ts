import type { Key } from '../../src/pageserver/keyspace/key.ts';
import { KIND_RELATION_BLOCK, KIND_RELATION_SIZE, kindRange } from '../../src/pageserver/keyspace/keys.ts';
import { decodeSize } from '../../src/pageserver/keyspace/stored-values.ts';
import { BlockPins } from '../../src/pageserver/layers/blocks.ts';
import { FoundValues } from '../../src/pageserver/layers/found-values.ts';
import type { ReadContext } from '../../src/pageserver/layers/read-context.ts';
import { collectValues } from '../../src/pageserver/read/collect-values.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { Page } from '../../src/postgres/page/page.ts';
import { FORK_MAIN } from '../../src/postgres/wal/record-header.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';

export const READ: ReadContext = { task: 'page-request', signal: new AbortController().signal };

/** Pages that are made are not looked at, but neither is it the same memory again and again. */
export const TARGETS: readonly Page[] = Array.from({ length: 64 }, () => new Page());

/** Below all LSNs. */
const NO_FLOOR = -1;

/** Keys of all blocks of main forks, at the timeline's end. */
export async function allPages({ timeline, reads }: ActiveTimeline): Promise<Key[]> {
  const sizes = await reads.scan(kindRange(KIND_RELATION_SIZE), timeline.lastRecordLsn, READ);
  return sizes
    .filter(({ key }) => key.field5 === FORK_MAIN)
    .flatMap(({ key, bytes }) =>
      Array.from({ length: decodeSize(bytes) }, (_, index) => ({ ...key, kind: KIND_RELATION_BLOCK, index })),
    );
}

/** How many values each page needs: 1 for an image alone. Brings what they lie in into the caches as far as they hold it. */
export async function countValues({ timeline }: ActiveTimeline, keys: readonly Key[]): Promise<number[]> {
  const found = new FoundValues();
  const counts: number[] = [];
  for (const key of keys) {
    const pins = new BlockPins();
    while (!collectValues(timeline, key, timeline.lastRecordLsn, NO_FLOOR, found, pins, READ))
      await pins.load(READ);
    counts.push(found.count);
  }
  return counts;
}

/** In an order in which no cache of the processor helps. */
export const shuffled = <Item>(items: readonly Item[]): Item[] => new SeededRandom(1).shuffle(items);
