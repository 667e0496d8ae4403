import fc from 'fast-check';
import { toLsn } from '../../src/base/lsn.ts';
import { compareKeys, equalKeys, type Key } from '../../src/pageserver/keyspace/key.ts';
import { isInRange, type KeyRange } from '../../src/pageserver/keyspace/key-range.ts';
import {
  databaseKey,
  isPageKey,
  KIND_RELATION_BLOCK,
  relationBlockKey,
  relationSizeKey,
} from '../../src/pageserver/keyspace/keys.ts';
import { ValueApplier } from '../../src/pageserver/layers/apply-value.ts';
import { FoundValues } from '../../src/pageserver/layers/found-values.ts';
import type { LayerDescription } from '../../src/pageserver/layers/layer-description.ts';
import { isBase, VALUE_IMAGE, VALUE_NEEDS_NO_BASE, VALUE_RECORD } from '../../src/pageserver/layers/value.ts';
import { initializePage, PAGE_UPPER, Page } from '../../src/postgres/page/page.ts';
import { RM_GENERIC, RM_XLOG } from '../../src/postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { compareValues, type LayerValue } from './layer-samples.ts';
import { ByteWriter, buildRecordBytes, type RecordBlock } from './record-builder.ts';

export const LSN_STEP = 0x10;
export const LSN_FIRST = 0x1000;

const XLOG_FPI = 0xb0;

export const relation = (number: number) => ({ tablespace: 1663, database: 5, relation: 16384 + number });

/** A page as an access method leaves it, full of one byte. */
export function pageOf(fill: number): Uint8Array {
  const page = new Page(new Uint8Array(8192).fill(fill));
  initializePage(page, 8);
  page.bytes.fill(fill, 24);
  page.view.setUint16(PAGE_UPPER - 2, 24, true);
  page.view.setUint16(PAGE_UPPER, 24, true);
  return page.bytes;
}

const blockOf = (key: Key): RecordBlock => ({
  relation: { tablespace: key.field2, database: key.field3, relation: key.field4 },
  fork: key.field5,
  blockNumber: key.index,
});

/** The record of a whole page. */
export function imageRecord(key: Key, lsn: number, fill: number): LayerValue {
  const bytes = buildRecordBytes({
    resourceManager: RM_XLOG,
    info: XLOG_FPI,
    blocks: [{ ...blockOf(key), image: pageOf(fill) }],
  });
  return { key, lsn, flags: VALUE_RECORD | VALUE_NEEDS_NO_BASE, bytes };
}

/** A record that writes bytes into a page. */
export function patchRecord(key: Key, lsn: number, offset: number, patch: Uint8Array): LayerValue {
  const data = new ByteWriter().u16s(offset, patch.length).bytes(patch).finish();
  const bytes = buildRecordBytes({
    resourceManager: RM_GENERIC,
    info: 0,
    blocks: [{ ...blockOf(key), data }],
  });
  return { key, lsn, flags: VALUE_RECORD, bytes };
}

export const imageValue = (key: Key, lsn: number, bytes: Uint8Array): LayerValue => ({
  key,
  lsn,
  flags: VALUE_IMAGE,
  bytes,
});

/** What happens to relations and databases, one event at each LSN_STEP. */
export const someEvents = fc.array(
  fc.record({
    kind: fc.constantFrom('write', 'write', 'write', 'truncate', 'drop', 'database'),
    relation: fc.nat(2),
    block: fc.nat(3),
    byte: fc.integer({ min: 1, max: 255 }),
  }),
  { minLength: 1, maxLength: 60 },
);
export type SomeEvent = typeof someEvents extends fc.Arbitrary<(infer One)[]> ? One : never;

/** All that was ever stored, and what was alive when. */
export class KeyHistories {
  readonly values: LayerValue[] = [];
  /** Exclusive end of all LSNs. */
  readonly lsnEnd: number;
  /** By relation: its size from an LSN on. */
  readonly #sizes: { readonly relation: number; readonly lsn: number; readonly blocks: number }[] = [];

  constructor(events: readonly SomeEvent[], lsnFirst: number = LSN_FIRST, before?: KeyHistories) {
    if (before !== undefined) {
      for (let number = 0; number < 3; number++) {
        const blocks = before.sizeAt(number, lsnFirst - 1);
        if (blocks > 0) this.#sizes.push({ relation: number, lsn: 0, blocks });
      }
    }
    for (const [index, event] of events.entries()) this.#happen(event, lsnFirst + index * LSN_STEP);
    this.values.sort(compareValues);
    this.lsnEnd = lsnFirst + events.length * LSN_STEP;
  }

  sizeAt(number: number, lsn: number): number {
    return this.#sizes.findLast((size) => size.relation === number && size.lsn <= lsn)?.blocks ?? 0;
  }

  isAliveAt(key: Key, lsn: number): boolean {
    return key.kind !== KIND_RELATION_BLOCK || key.index < this.sizeAt(key.field4 - 16384, lsn);
  }

  /** As makeLiveness takes it. */
  aliveAt(lsn: number): { readonly firstKey: Key; readonly blocks: number }[] {
    return [0, 1, 2]
      .map((number) => ({
        firstKey: relationBlockKey(relation(number), 0, 0),
        blocks: this.sizeAt(number, lsn),
      }))
      .filter(({ blocks }) => blocks > 0);
  }

  #happen({ kind, relation: number, block, byte }: SomeEvent, lsn: number): void {
    const size = this.sizeAt(number, lsn);
    if (kind === 'database') {
      const bytes = byte % 3 === 0 ? new Uint8Array() : Uint8Array.of(byte);
      this.values.push(imageValue(databaseKey(1663, 5 + number), lsn, bytes));
    } else if (kind === 'drop') this.#resize(number, lsn, 0);
    else if (kind === 'truncate') this.#resize(number, lsn, Math.min(size, block));
    else {
      const key = relationBlockKey(relation(number), 0, block);
      if (block >= size) {
        for (let between = size; between < block; between++) {
          this.values.push(imageValue(relationBlockKey(relation(number), 0, between), lsn, pageOf(0xff)));
        }
        this.#resize(number, lsn, block + 1);
        this.values.push(imageRecord(key, lsn, byte));
      } else if (byte % 5 === 0) this.values.push(imageRecord(key, lsn, byte));
      else this.values.push(patchRecord(key, lsn, 24 + byte * 3, Uint8Array.of(byte, lsn, lsn >>> 8)));
    }
  }

  #resize(number: number, lsn: number, blocks: number): void {
    this.#sizes.push({ relation: number, lsn, blocks });
    const bytes = blocks === 0 ? new Uint8Array() : Uint8Array.of(blocks, 0, 0, 0);
    this.values.push(imageValue(relationSizeKey(relation(number), 0), lsn, bytes));
  }
}

/** A layer and what is in it. */
export interface ModelLayer extends Pick<LayerDescription, 'kind' | 'keys' | 'lsnStart' | 'lsnEnd'> {
  readonly values: readonly LayerValue[];
}

/** What layers together say of a key at an LSN: undefined where it did not exist. */
export function contentAt(layers: readonly ModelLayer[], key: Key, lsn: number): Uint8Array | undefined {
  let floor = -1;
  for (const { kind, keys, lsnStart } of layers) {
    if (kind === 'image' && lsnStart <= lsn && isInRange(keys, key)) floor = Math.max(floor, lsnStart);
  }
  const seen: LayerValue[] = [];
  for (const { kind, values } of layers) {
    for (const value of values) {
      if (!equalKeys(value.key, key) || value.lsn > lsn) continue;
      if (value.lsn < floor || (value.lsn === floor && kind === 'delta')) continue;
      if (!seen.some((other) => other.lsn === value.lsn)) seen.push(value);
    }
  }
  seen.sort(compareValues);
  const base = seen.findLastIndex(({ flags }) => isBase(flags));
  if (seen.length === 0) return undefined;
  if (!isPageKey(key)) {
    const { bytes } = seen.at(-1) as LayerValue;
    return bytes.length === 0 ? undefined : bytes;
  }
  const found = new FoundValues();
  for (const { bytes, lsn: at, flags } of seen.slice(Math.max(0, base)).reverse()) {
    found.push(bytes, new DataView(bytes.buffer, bytes.byteOffset), 0, bytes.length, at, flags);
  }
  const page = new Page(new Uint8Array(8192));
  new ValueApplier(POSTGRES_17).reconstruct(key, found, page);
  return page.bytes;
}

/** All keys that have values, ascending. */
export function keysOf(values: readonly LayerValue[]): Key[] {
  const keys: Key[] = [];
  for (const { key } of [...values].sort(compareValues)) {
    if (keys.length === 0 || compareKeys(keys.at(-1) as Key, key) !== 0) keys.push(key);
  }
  return keys;
}

export const deltaOf = (
  values: readonly LayerValue[],
  keys: KeyRange,
  start: number,
  end: number,
): ModelLayer => ({
  kind: 'delta',
  keys,
  lsnStart: toLsn(start),
  lsnEnd: toLsn(end),
  values: values
    .filter(({ key, lsn }) => isInRange(keys, key) && lsn >= start && lsn < end)
    .sort(compareValues),
});

/** What histories were at an LSN. */
export function imageOf(
  histories: KeyHistories,
  from: readonly ModelLayer[],
  keys: KeyRange,
  lsn: number,
): ModelLayer {
  const values: LayerValue[] = [];
  for (const key of keysOf(from.flatMap((layer) => layer.values))) {
    if (!isInRange(keys, key) || !histories.isAliveAt(key, lsn)) continue;
    const bytes = contentAt(from, key, lsn);
    if (bytes !== undefined) values.push(imageValue(key, lsn, bytes.slice()));
  }
  return { kind: 'image', keys, lsnStart: toLsn(lsn), lsnEnd: toLsn(lsn + 1), values };
}

/** An LSN in [start, end), as often as not one of an event. */
export function lsnOfPart(part: number, start: number, end: number): number {
  const lsn = start + (part % (end - start));
  const ofEvent = lsn - (lsn % LSN_STEP);
  return part % 2 === 0 && ofEvent >= start ? ofEvent : lsn;
}
