/** Checks that redo and decoders refuse what they cannot use in the agreed way, whatever the bytes are. */
import fc from 'fast-check';
import { expect } from 'vitest';
import { CorruptionError } from '../../src/base/errors.ts';
import { Page } from '../../src/postgres/page/page.ts';
import type { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { BLOCK_BYTES } from '../../src/postgres/wal/record-header.ts';
import { RedoFailure } from '../../src/redo/redo-failure.ts';
import type { RedoFunction } from '../../src/redo/redo-types.ts';
import { buildRecord, type RecordParts } from './record-builder.ts';

const settings = { hintBitsAreLogged: true };

/** Runs `action`; true if it refused. Any error but a refusal fails the test. */
export function refuses(action: () => void): boolean {
  try {
    action();
    return false;
  } catch (error) {
    if (!(error instanceof RedoFailure || error instanceof CorruptionError)) throw error;
    return true;
  }
}

/** Replays a record on a copy of the page; true if it was refused. */
export function redoRefuses(redo: RedoFunction, page: Page, record: DecodedRecord, blockId: number): boolean {
  const copy = new Page(page.bytes.slice());
  return refuses(() => redo(copy, record, blockId, settings));
}

/** A record with other main data. */
function withMainData(parts: RecordParts, mainData: Uint8Array): DecodedRecord {
  return buildRecord({ ...parts, mainData });
}

/** A record with other data of one block reference. */
function withBlockData(parts: RecordParts, blockId: number, data: Uint8Array): DecodedRecord {
  const blocks = (parts.blocks ?? []).map((block, index) =>
    (block.id ?? index) === blockId ? { ...block, data } : block,
  );
  return buildRecord({ ...parts, blocks });
}

function mainDataOf(parts: RecordParts): Uint8Array {
  return parts.mainData ?? new Uint8Array(0);
}

function blockDataOf({ blocks = [] }: RecordParts, blockId: number): Uint8Array {
  return blocks.find((block, index) => (block.id ?? index) === blockId)?.data ?? new Uint8Array(0);
}

/** The lengths below `lengthEnd` to which data can be cut off, or lengthened with zeros, without being refused. */
function takenLengths(
  data: Uint8Array,
  lengthEnd: number,
  isRefused: (data: Uint8Array) => boolean,
): number[] {
  return Array.from({ length: lengthEnd }, (_, length) => length).filter(
    (length) => !isRefused(Uint8Array.from({ length }, (_, index) => data[index] ?? 0)),
  );
}

/** Demands that redo refuses the record once its main data is cut off, at whatever byte, or has a byte too many. */
export function expectMainDataIsChecked(
  redo: RedoFunction,
  page: Page,
  parts: RecordParts,
  blockId: number,
): void {
  const mainData = mainDataOf(parts);
  const taken = takenLengths(mainData, mainData.length + 2, (data) =>
    redoRefuses(redo, page, withMainData(parts, data), blockId),
  );
  expect(taken, 'lengths of main data that redo takes').toEqual([mainData.length]);
}

/** The same for the data of a block reference, which must not be empty. */
export function expectBlockDataIsChecked(
  redo: RedoFunction,
  page: Page,
  parts: RecordParts,
  blockId: number,
): void {
  const blockData = blockDataOf(parts, blockId);
  expect(blockData.length).toBeGreaterThan(0);
  const taken = takenLengths(blockData, blockData.length + 2, (data) =>
    redoRefuses(redo, page, withBlockData(parts, blockId, data), blockId),
  );
  expect(taken, 'lengths of block data that redo takes').toEqual([blockData.length]);
}

/** A record and the page that one of its blocks names. */
export interface RedoSample {
  readonly page: Page;
  readonly parts: RecordParts;
}

/** And which block that is. */
export interface BlockSample extends RedoSample {
  readonly blockId: number;
  /** Lengths to which main data, or the block's data, can be cut off and redo still takes them. */
  readonly unnoticed?: { readonly main?: readonly number[]; readonly block?: readonly number[] };
}

/**
 * Cuts off the record's main data, and the data of the sample's block, at every byte: redo must refuse all cuts but
 * the sample's unnoticed ones, and take the whole record.
 */
export function expectCutsAreRefused(redo: RedoFunction, sample: BlockSample): void {
  const { page, parts, blockId, unnoticed } = sample;
  expect(redoRefuses(redo, page, buildRecord(parts), blockId), 'whole').toBe(false);
  const mainData = mainDataOf(parts);
  const blockData = blockDataOf(parts, blockId);
  const taken = {
    main: takenLengths(mainData, mainData.length, (data) =>
      redoRefuses(redo, page, withMainData(parts, data), blockId),
    ),
    block: takenLengths(blockData, blockData.length, (data) =>
      redoRefuses(redo, page, withBlockData(parts, blockId, data), blockId),
    ),
  };
  expect(taken, 'lengths that redo takes').toEqual({ main: [], block: [], ...unnoticed });
}

/** Counts and offsets that can be right, ones that are far too large, and anything. */
const scribbledByte = fc.oneof(fc.nat(3), fc.nat(16), fc.constant(255), fc.nat(255));

/** Some bytes to change: where (taken modulo the length) and to what. */
const scribbles = (countMax: number) =>
  fc.array(fc.tuple(fc.nat(8191), scribbledByte), { maxLength: countMax });

/** Offsets of a page's header, first line pointers and special space, where damage matters most. */
const pageScribbles = fc.array(
  fc.tuple(fc.oneof(fc.nat(63), fc.nat(8191), fc.integer({ min: 7900, max: 8191 })), scribbledByte),
  { maxLength: 6 },
);

function scribble(bytes: Uint8Array, changes: readonly (readonly [number, number])[]): Uint8Array {
  const changed = bytes.slice();
  if (changed.length > 0) for (const [offset, value] of changes) changed[offset % changed.length] = value;
  return changed;
}

/**
 * Demands that redo returns or refuses for good records on good pages with some bytes of either changed, and for
 * records of random bytes.
 */
export function expectDamageIsRefused(redo: RedoFunction, samples: readonly RedoSample[], runs = 4000): void {
  for (const { page, parts } of samples) {
    const record = buildRecord(parts);
    const blockIds = Array.from({ length: record.blockCount }, (_, id) => id).filter((id) =>
      record.hasBlock(id),
    );
    const replayed = blockIds.filter((id) => !redoRefuses(redo, page, record, id));
    expect(replayed.length, `a good record of info ${parts.info} was refused`).toBeGreaterThan(0);
  }
  const sample = fc.constantFrom(...samples);
  const damage = fc.tuple(sample, scribbles(4), scribbles(4), pageScribbles, fc.nat(255), fc.nat(15));
  fc.assert(
    fc.property(damage, ([{ page, parts }, mainChanges, dataChanges, pageChanges, flips, cut]) => {
      const mainData = scribble(mainDataOf(parts), mainChanges);
      const blocks = (parts.blocks ?? []).map((block, index) => ({
        ...block,
        ...(block.data === undefined ? {} : { data: scribble(block.data, dataChanges) }),
        ...((flips >> index) % 16 === 15 ? { willInitialize: !block.willInitialize } : {}),
      }));
      const length = cut === 1 ? mainData.length >> 1 : mainData.length;
      const record = buildRecord({ ...parts, mainData: mainData.slice(0, length), blocks });
      const damaged = new Page(scribble(page.bytes, pageChanges));
      for (let blockId = 0; blockId < record.blockCount; blockId++) {
        if (record.hasBlock(blockId)) redoRefuses(redo, damaged, record, blockId);
      }
    }),
    { numRuns: runs },
  );
  const random = fc.tuple(sample, fc.uint8Array({ maxLength: 120 }), fc.uint8Array({ maxLength: 120 }));
  fc.assert(
    fc.property(random, ([{ page, parts }, mainData, data]) => {
      const record = buildRecord({
        ...parts,
        mainData,
        blocks: (parts.blocks ?? []).map((block) => ({ ...block, data })),
      });
      for (let blockId = 0; blockId < record.blockCount; blockId++) {
        if (record.hasBlock(blockId)) redoRefuses(redo, page, record, blockId);
      }
    }),
    { numRuns: runs >> 2 },
  );
}

/** Demands that redo returns or refuses for records of all kinds that are random bytes, on random pages. */
export function expectRandomRecordsAreRefused(redo: RedoFunction, resourceManager: number): void {
  const block = fc.record({
    data: fc.uint8Array({ maxLength: 80 }),
    willInitialize: fc.boolean(),
    blockNumber: fc.nat(100),
  });
  const parts = fc.record({
    resourceManager: fc.constant(resourceManager),
    info: fc.nat(15).map((kind) => kind << 4),
    mainData: fc.uint8Array({ maxLength: 48 }),
    blocks: fc.array(block, { minLength: 1, maxLength: 7 }),
  });
  const content = fc.uint8Array({ minLength: BLOCK_BYTES, maxLength: BLOCK_BYTES });
  fc.assert(
    fc.property(content, parts, fc.nat(6), (bytes, random, choice) => {
      redoRefuses(redo, new Page(bytes), buildRecord(random), choice % random.blocks.length);
    }),
    { numRuns: 300 },
  );
}
