import { BadRequestError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { Files } from '../../io/files.ts';
import type { RelationLocator } from '../../postgres/files/relation-locator.ts';
import { compareKeys, KEY_MAX, type Key, nextKey, parseKey, readKey } from '../keyspace/key.ts';
import { ALL_KEYS, type KeyRange } from '../keyspace/key-range.ts';
import { KIND_RELATION_SIZE, relationBlockKey } from '../keyspace/keys.ts';
import { LayerCursor } from '../layers/format/layer-cursor.ts';
import type { LayerHeader } from '../layers/format/layer-header.ts';
import { type InspectedValue, inspectValue } from './inspected-value.ts';

/** Which values of a layer are wanted. What is not said does not matter. */
export interface ValueSelection {
  /** 36 hexadecimal digits: only this key. */
  readonly key?: string;
  /** Only its blocks and sizes. */
  readonly relation?: RelationLocator;
  readonly fork?: number;
  /** Needs `relation`. */
  readonly block?: number;
  readonly startLsn?: Lsn;
  /** Exclusive. */
  readonly endLsn?: Lsn;
}

/**
 * The values of a layer file, in its order. @param header of the file
 * @throws BadRequestError for a selection that makes no sense; CorruptionError; what reading fails of
 */
export async function* layerValues(
  files: Pick<Files, 'open'>,
  path: string,
  header: LayerHeader,
  selection: ValueSelection,
  signal: AbortSignal,
): AsyncGenerator<InspectedValue, void> {
  const { startLsn = 0, endLsn = Number.POSITIVE_INFINITY, fork } = selection;
  for (const keys of rangesOf(selection)) {
    await using cursor = await LayerCursor.open(files, path, header, { keys, signal });
    while (cursor.advance() || (await cursor.next())) {
      if (cursor.lsn < startLsn || cursor.lsn >= endLsn) continue;
      const key = readKey(cursor.keyView, cursor.keyOffset);
      if (fork !== undefined && key.field5 !== fork) continue;
      yield inspectValue(key, cursor);
    }
  }
}

function rangesOf({ key, relation, fork, block }: ValueSelection): KeyRange[] {
  if (key !== undefined) {
    if (relation !== undefined)
      throw new BadRequestError('CONFLICTING_OPTIONS', 'a key says what a relation would');
    const parsed = parseKey(key);
    if (compareKeys(parsed, KEY_MAX) === 0)
      throw new BadRequestError('BAD_KEY', 'no value has the highest key');
    return [one(parsed)];
  }
  if (relation === undefined) {
    if (block === undefined && fork === undefined) return [ALL_KEYS];
    throw new BadRequestError('MISSING_ARGUMENT', 'a fork or block is that of a relation: say which');
  }
  if (block !== undefined) return [one(relationBlockKey(relation, fork ?? 0, block))];
  const first = relationBlockKey(relation, 0, 0);
  return [allForks(first), allForks({ ...first, kind: KIND_RELATION_SIZE })];
}

const one = (key: Key): KeyRange => ({ start: key, end: nextKey(key) });

/** All keys that begin as `first` does, up to the relation's number. */
const allForks = (first: Key): KeyRange => ({
  start: first,
  end: nextKey({ ...first, field5: 0xff, index: 0xffff_ffff }),
});
