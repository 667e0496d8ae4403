import { AssertionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { compareKeys, formatKey, type Key, readKey } from '../keyspace/key.ts';
import { KIND_AUXILIARY_FILE, kindRange } from '../keyspace/keys.ts';
import { lastLsnBeside } from '../layers/beside-wal.ts';
import type { ReadContext } from '../layers/read-context.ts';
import { recordPositionsKey, stretchOf } from '../layers/record-positions.ts';
import { isRetired, RETIRED_MAX } from '../layers/retired-layer.ts';
import { VALUE_IMAGE } from '../layers/value.ts';
import { TimelineReader } from '../read/timeline-reader.ts';
import { encodeRecords, recordsUpTo } from '../timeline/records-up-to.ts';
import type { Timeline } from '../timeline/timeline.ts';
import type { EdgeValue } from '../upkeep/cut-layer.ts';

/** What a timeline sees of an ancestor. */
export interface SeenAncestor {
  readonly timeline: Timeline;
  /** Records at or below, and what is kept beside the last of them. */
  readonly lsn: Lsn;
  /** Where the last record at or below begins. */
  readonly recordStartLsn: Lsn;
}

/** All ancestors of a timeline, the nearest first. */
export function seenAncestors(timeline: Timeline): SeenAncestor[] {
  const seen: SeenAncestor[] = [];
  for (let at = timeline; at.ancestorTimeline !== undefined; at = at.ancestorTimeline) {
    const { ancestor } = at.remote.intendedHead;
    if (ancestor === undefined) throw new AssertionError(`timeline ${at.timelineId} has lost its ancestor`);
    seen.push({ timeline: at.ancestorTimeline, lsn: ancestor.lsn, recordStartLsn: ancestor.recordStartLsn });
  }
  return seen;
}

/**
 * What a timeline sees of its ancestors as of the LSNs at which they are cut, and would not find at or below: what is kept
 * beside WAL, right behind the last record, where its own such values are to go; and the list of the last records, which
 * is stored a little after they are. By the LSN, in the order of keys. All that is seen is in layer files.
 */
export async function findEdgeValues(
  ancestors: readonly SeenAncestor[],
  context: ReadContext,
): Promise<ReadonlyMap<Lsn, readonly EdgeValue[]>> {
  const edges = new Map<Lsn, readonly EdgeValue[]>();
  for (const lsn of new Set(ancestors.map((ancestor) => ancestor.lsn))) {
    const here = ancestors.filter((ancestor) => ancestor.lsn === lsn);
    const values = new Map<string, EdgeValue>();
    for (const { timeline } of here) {
      for (const value of await valuesBeside(timeline, lsn, context)) {
        const name = formatKey(value.key);
        // A nearer one's takes the place of a farther one's.
        if (!values.has(name)) values.set(name, value);
      }
    }
    const records = await lackingRecords(here[0] as SeenAncestor, context);
    if (records !== undefined) values.set(formatKey(records.key), records);
    edges.set(
      lsn,
      [...values.values()].sort((left, right) => compareKeys(left.key, right.key)),
    );
  }
  return edges;
}

/** Whether a timeline itself keeps something beside the record that ends at an LSN. It may have to be flushed for that. */
export async function hasValuesBeside(timeline: Timeline, lsn: Lsn, context: ReadContext): Promise<boolean> {
  while (timeline.memoryLayers.some((layer) => layer.lsnStart <= lastLsnBeside(lsn))) {
    // Without any WAL of its own there is nothing else that it could have.
    if (timeline.lastRecordLsn === lsn) return true;
    await timeline.flush();
  }
  return (await valuesBeside(timeline, lsn, context)).length > 0;
}

/** The list of records that the last one is in; undefined where it is stored at or below the LSN. */
async function lackingRecords(
  { timeline, lsn, recordStartLsn }: SeenAncestor,
  context: ReadContext,
): Promise<EdgeValue | undefined> {
  const stretch = stretchOf(recordStartLsn);
  const key = recordPositionsKey(stretch);
  const readerOf = (of: Timeline): TimelineReader => new TimelineReader(of, of.pageReader, context);
  const bytes = encodeRecords(stretch, await recordsUpTo(timeline, stretch, lsn, readerOf));
  const stored = (await readerOf(timeline).readValue(key, lsn)) ?? new Uint8Array(0);
  return Buffer.compare(bytes, stored) === 0 ? undefined : { key, bytes };
}

/** The newest that the timeline's own files have, of each key, beside the record that ends at an LSN. */
async function valuesBeside(timeline: Timeline, lsn: Lsn, context: ReadContext): Promise<EdgeValue[]> {
  for (let retired = 0; ; ) {
    try {
      return await valuesBesideNow(timeline, lsn, context);
    } catch (error) {
      if (!isRetired(error) || ++retired > RETIRED_MAX) throw error;
    }
  }
}

async function valuesBesideNow(timeline: Timeline, lsn: Lsn, context: ReadContext): Promise<EdgeValue[]> {
  const range = kindRange(KIND_AUXILIARY_FILE);
  const lsnEnd = lastLsnBeside(lsn) + 1;
  const layers = timeline.layers.overlapping(range, (lsn + 1) as Lsn, lsnEnd);
  const newest = new Map<string, { readonly key: Key; readonly lsn: number; readonly bytes: Uint8Array }>();
  using holds = new DisposableStack();
  for (const layer of layers) holds.use(layer.hold());
  for (const layer of layers) {
    if (layer.lsnStart >= lsnEnd || layer.kind === 'image') continue;
    await using cursor = await layer.scan(range, context);
    while (cursor.advance() || (await cursor.next())) {
      if (cursor.lsn <= lsn || cursor.lsn >= lsnEnd) continue;
      if (cursor.flags !== VALUE_IMAGE) {
        throw new AssertionError('what is kept beside WAL is no image', { lsn: cursor.lsn });
      }
      const key = readKey(cursor.keyView, cursor.keyOffset);
      const name = formatKey(key);
      if ((newest.get(name)?.lsn ?? 0) > cursor.lsn) continue;
      const bytes = cursor.bytes.slice(cursor.offset, cursor.offset + cursor.length);
      newest.set(name, { key, lsn: cursor.lsn, bytes });
    }
  }
  return [...newest.values()].map(({ key, bytes }) => ({ key, bytes }));
}
