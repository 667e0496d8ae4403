/** Checks that redo and decoders refuse what they cannot use in the agreed way, whatever the bytes are. */
import fc from 'fast-check';
import { expect } from 'vitest';
import { VarveError } from '../../src/base/errors.ts';
import { Page } from '../../src/postgres/page/page.ts';
import type { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { RedoFailure } from '../../src/redo/redo-failure.ts';
import type { RedoFunction } from '../../src/redo/redo-types.ts';
import { buildRecord, type RecordParts } from './record-builder.ts';

const settings = { hintBitsAreLogged: true };

function isRefusal(error: unknown): boolean {
  return error instanceof RedoFailure || (error instanceof VarveError && error.kind === 'corruption');
}

/** Runs `action`; true if it refused. Any error but a refusal fails the test. */
export function refuses(action: () => void): boolean {
  try {
    action();
    return false;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return true;
  }
}

/** Replays a record on a copy of the page; true if it was refused. */
export function redoRefuses(redo: RedoFunction, page: Page, record: DecodedRecord, blockId: number): boolean {
  const copy = new Page(page.bytes.slice());
  return refuses(() => redo(copy, record, blockId, settings));
}

/** Demands that redo refuses the record once its main data is cut off, at whatever byte, or has a byte too many. */
export function expectMainDataIsChecked(
  redo: RedoFunction,
  page: Page,
  parts: RecordParts,
  blockId: number,
): void {
  const mainData = parts.mainData ?? new Uint8Array(0);
  expect(redoRefuses(redo, page, buildRecord(parts), blockId), 'whole').toBe(false);
  for (let length = 0; length < mainData.length; length++) {
    const cut = buildRecord({ ...parts, mainData: mainData.slice(0, length) });
    expect(redoRefuses(redo, page, cut, blockId), `cut to ${length} bytes of main data`).toBe(true);
  }
  const extended = buildRecord({ ...parts, mainData: Uint8Array.from([...mainData, 0]) });
  expect(redoRefuses(redo, page, extended, blockId), 'a byte too many').toBe(true);
}

/** The same for the data of a block reference, which must not be empty. */
export function expectBlockDataIsChecked(
  redo: RedoFunction,
  page: Page,
  parts: RecordParts,
  blockId: number,
): void {
  const blocks = parts.blocks ?? [];
  const data = blocks.find((block, index) => (block.id ?? index) === blockId)?.data ?? new Uint8Array(0);
  const withData = (changed: Uint8Array) =>
    buildRecord({
      ...parts,
      blocks: blocks.map((block, index) =>
        (block.id ?? index) === blockId ? { ...block, data: changed } : block,
      ),
    });
  expect(data.length).toBeGreaterThan(0);
  expect(redoRefuses(redo, page, withData(data), blockId), 'whole').toBe(false);
  for (let length = 0; length < data.length; length++) {
    const cut = withData(data.slice(0, length));
    expect(redoRefuses(redo, page, cut, blockId), `cut to ${length} bytes of block data`).toBe(true);
  }
  const extended = withData(Uint8Array.from([...data, 0]));
  expect(redoRefuses(redo, page, extended, blockId), 'a byte too many').toBe(true);
}

export interface RedoSample {
  readonly page: Page;
  readonly parts: RecordParts;
}

/** Some bytes to change: where (taken modulo the length) and to what. */
const scribbles = (countMax: number) =>
  fc.array(fc.tuple(fc.nat(8191), fc.oneof(fc.nat(3), fc.nat(255))), { maxLength: countMax });

/** Offsets of a page's header, first line pointers and special space, where damage matters most. */
const pageScribbles = fc.array(
  fc.tuple(fc.oneof(fc.nat(60), fc.nat(8191), fc.integer({ min: 7900, max: 8191 })), fc.nat(255)),
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
      const mainData = scribble(parts.mainData ?? new Uint8Array(0), mainChanges);
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
