import { formatLsn } from '../../src/base/lsn.ts';
import { type Key, nextKey } from '../../src/pageserver/keyspace/key.ts';
import { formatLayerName } from '../../src/pageserver/layers/layer-name.ts';
import type { ReadContext } from '../../src/pageserver/layers/read-context.ts';
import { findVisibleLayers } from '../../src/pageserver/read/visible-layers.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import type { Timeline } from '../../src/pageserver/timeline/timeline.ts';
import { Page } from '../../src/postgres/page/page.ts';
import { BLOCK_BYTES } from '../../src/postgres/wal/record-header.ts';
import type { PagesAnswer, TidyTask } from './host-protocol.ts';

/** Pages with neighbouring keys, read together; one by one where that fails, to say which they are. */
export async function readPages(
  { reads }: ActiveTimeline,
  { firstKey, count, lsn }: { readonly firstKey: Key; readonly count: number; readonly lsn: number },
  context: ReadContext,
): Promise<PagesAnswer> {
  const bytes = new Uint8Array(count * BLOCK_BYTES);
  const failures = new Map<number, string>();
  const requests = Array.from({ length: count }, (_, place) => ({
    key: { ...firstKey, index: firstKey.index + place },
    lsn,
    target: new Page(bytes.subarray(place * BLOCK_BYTES, (place + 1) * BLOCK_BYTES)),
  }));
  try {
    await reads.pages(requests, context);
    return { bytes, failures };
  } catch {
    // Of any of them: each is told of on its own.
    for (const [place, request] of requests.entries()) {
      try {
        await reads.pages([request], context);
      } catch (error) {
        failures.set(place, error instanceof Error ? (error.stack ?? error.message) : String(error));
        request.target.bytes.fill(0);
      }
    }
    return { bytes, failures };
  }
}

/** The layers that a read of a key visits, newest first. */
export function showLayers(timeline: Timeline, key: Key, lsn: number): string[] {
  const { memory, stored } = findVisibleLayers(timeline, { start: key, end: nextKey(key) }, lsn);
  return [
    ...memory.map(
      ({ layer, lsnEnd }) => `in memory from ${formatLsn(layer.lsnStart)}, below ${formatLsn(lsnEnd)}`,
    ),
    ...stored.map(({ timeline: owner, layer, lsnEnd }) => {
      const from = owner === timeline ? '' : `of ancestor ${(owner as Timeline).timelineId}: `;
      return `${from}${layer.kind} ${formatLayerName(layer)}, below ${formatLsn(lsnEnd)}`;
    }),
  ];
}

export async function tidy({ timeline, upkeep }: ActiveTimeline, task: TidyTask): Promise<number> {
  switch (task) {
    case 'flush':
      await timeline.flush();
      return 1;
    case 'compact':
      return Number(await upkeep.compact());
    case 'images':
      return upkeep.makeImages();
    case 'garbage':
      return upkeep.collectGarbage();
    case 'bottom':
      return Number(await upkeep.rewriteBottom());
    case 'forget-pages':
      timeline.pages.drop();
      return 1;
  }
}
