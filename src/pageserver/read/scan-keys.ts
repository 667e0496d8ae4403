import { CorruptionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { compareKeys, formatKey, type Key, readKey } from '../keyspace/key.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import type { ReadContext } from '../layers/read-context.ts';
import { isRetired, RETIRED_MAX } from '../layers/retired-layer.ts';
import { VALUE_IMAGE, VALUE_KIND_MASK } from '../layers/value.ts';
import type { ReadableTimeline } from './readable-timeline.ts';
import { findVisibleLayers } from './visible-layers.ts';

/** Others get their turn after so many. */
const VALUES_A_TURN = 2000;

/** What a key held at the LSN of a scan. */
export interface ScannedValue {
  readonly key: Key;
  /** Where it got that content. */
  readonly lsn: Lsn;
  readonly bytes: Uint8Array;
}

/**
 * All keys of a range that existed at `lsn`, in order, with what they held. Not for keys of pages: each value must be an
 * image. All that is found is kept in memory.
 */
export async function scanKeys(
  timeline: ReadableTimeline,
  range: KeyRange,
  lsn: number,
  context: ReadContext,
): Promise<ScannedValue[]> {
  for (let retired = 0; ; ) {
    try {
      return await scanLayersOfNow(timeline, range, lsn, context);
    } catch (error) {
      // An open layer has become a file meanwhile. Of one that is closing nothing more is loaded, even for who holds it.
      if (!isRetired(error) || ++retired > RETIRED_MAX) throw error;
    }
  }
}

async function scanLayersOfNow(
  timeline: ReadableTimeline,
  range: KeyRange,
  lsn: number,
  context: ReadContext,
): Promise<ScannedValue[]> {
  // Layers that are compacted or collected meanwhile change no answer: those of now are held, and suffice.
  const { memory, stored } = findVisibleLayers(timeline, range, lsn);
  using holds = new DisposableStack();
  for (const { layer } of [...memory, ...stored]) holds.use(layer.hold());
  const newest = new NewestValues();
  let visited = 0;
  for (const { layer, lsnEnd, parts } of memory) await layer.scan(parts, lsnEnd, context, newest.take);
  for (const { layer, lsnEnd, parts } of stored) {
    for (const part of parts) {
      await using cursor = await layer.scanNewest(part, lsnEnd, context);
      do {
        while (cursor.advance()) {
          if (++visited % VALUES_A_TURN === 0) await timeline.yieldToOthers();
          if (cursor.lsn < part.lsnStart) continue;
          const key = readKey(cursor.keyView, 0);
          newest.take(key, cursor.lsn, cursor.flags, cursor.bytes, cursor.offset, cursor.length);
        }
      } while (await cursor.load());
    }
  }
  return newest.existing();
}

/** For each key the value with the highest LSN; of several in one layer with the same LSN the last. */
class NewestValues {
  readonly #values = new Map<string, ScannedValue>();

  readonly take = (
    key: Key,
    lsn: number,
    flags: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
  ): void => {
    const name = `${key.kind}/${key.field2}/${key.field3}/${key.field4}/${key.field5}/${key.index}`;
    const known = this.#values.get(name);
    if (known !== undefined && known.lsn > lsn) return;
    if ((flags & VALUE_KIND_MASK) !== VALUE_IMAGE) {
      throw new CorruptionError('BAD_VALUE', `what is stored under ${formatKey(key)} is no image`, { lsn });
    }
    this.#values.set(name, { key, lsn: lsn as Lsn, bytes: bytes.slice(offset, offset + length) });
  };

  existing(): ScannedValue[] {
    return [...this.#values.values()]
      .filter((value) => value.bytes.length > 0)
      .sort((left, right) => compareKeys(left.key, right.key));
  }
}
