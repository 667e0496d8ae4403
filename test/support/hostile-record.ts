/** Damaged records for tests of redo: whatever a record says, its replay ends, and with an error of ours if any. */
import fc from 'fast-check';
import { expect } from 'vitest';
import { CorruptionError } from '../../src/base/errors.ts';
import { Page } from '../../src/postgres/page/page.ts';
import { BLOCK_BYTES } from '../../src/postgres/wal/record-header.ts';
import { RedoFailure } from '../../src/redo/redo-failure.ts';
import type { RedoFunction } from '../../src/redo/redo-types.ts';
import { buildRecord, type RecordParts } from './record-builder.ts';

const settings = { hintBitsAreLogged: false };

/** Replays on a copy of the page. Returns whether it went through; any error must be a typed one. */
export function replays(redo: RedoFunction, page: Page, parts: RecordParts, blockId: number): boolean {
  try {
    redo(new Page(page.bytes.slice()), buildRecord(parts), blockId, settings);
    return true;
  } catch (error) {
    if (!(error instanceof RedoFailure || error instanceof CorruptionError)) throw error;
    return false;
  }
}

/** A record, the page that one of its blocks names, and which block that is. */
export interface ReplayCase {
  readonly page: Page;
  readonly parts: RecordParts;
  readonly blockId: number;
  /** What `unnoticedCuts` gives for it, if anything. */
  readonly unnoticed?: readonly string[];
}

/**
 * Cuts off the record's main data, and the data of the case's block, at every byte. Returns the cuts that replay did
 * not notice, such as `main 3` or `block 16`; all others gave a typed error. The whole record must go through.
 */
export function unnoticedCuts(redo: RedoFunction, { page, parts, blockId }: ReplayCase): string[] {
  expect(replays(redo, page, parts, blockId)).toBe(true);
  const unnoticed: string[] = [];
  const mainData = parts.mainData ?? new Uint8Array(0);
  for (let length = 0; length < mainData.length; length++) {
    const cut = { ...parts, mainData: mainData.slice(0, length) };
    if (replays(redo, page, cut, blockId)) unnoticed.push(`main ${length}`);
  }
  const blocks = parts.blocks ?? [];
  const position = blocks.findIndex((block, index) => (block.id ?? index) === blockId);
  const data = blocks[position]?.data ?? new Uint8Array(0);
  for (let length = 0; length < data.length; length++) {
    const cut = blocks.map((block, index) =>
      index === position ? { ...block, data: data.slice(0, length) } : block,
    );
    if (replays(redo, page, { ...parts, blocks: cut }, blockId)) unnoticed.push(`block ${length}`);
  }
  return unnoticed;
}

const change = (length: number): fc.Arbitrary<[number, number]> =>
  fc.tuple(
    fc.oneof(fc.nat(Math.min(length, 64) - 1), fc.nat(length - 1)),
    fc.oneof(fc.nat(16), fc.constant(255), fc.nat(255)),
  );

function damaged(content: Uint8Array, changesMax: number): fc.Arbitrary<Uint8Array> {
  if (content.length === 0) return fc.constant(content);
  return fc.array(change(content.length), { maxLength: changesMax }).map((changes) => {
    const copy = content.slice();
    for (const [offset, value] of changes) copy[offset] = value;
    return copy;
  });
}

function damagedRecord(parts: RecordParts): fc.Arbitrary<RecordParts> {
  const blocks = (parts.blocks ?? []).map((block) =>
    damaged(block.data ?? new Uint8Array(0), 3).map((data) => ({ ...block, data })),
  );
  return fc
    .record({ mainData: damaged(parts.mainData ?? new Uint8Array(0), 2), blocks: fc.tuple(...blocks) })
    .map((changed) => ({ ...parts, ...changed }));
}

/** Replays the cases with some bytes of page and record changed. Only typed errors may come out. */
export function replayDamagedCases(redo: RedoFunction, cases: readonly ReplayCase[]): void {
  const damagedCase = fc.constantFrom(...cases).chain(({ page, parts, blockId }) =>
    fc.record({
      content: damaged(page.bytes, 4),
      parts: damagedRecord(parts),
      blockId: fc.constant(blockId),
    }),
  );
  fc.assert(
    fc.property(damagedCase, ({ content, parts, blockId }) => {
      replays(redo, new Page(content), parts, blockId);
    }),
    { numRuns: 4000 },
  );
}

/** Replays records of all kinds that are random bytes, on random pages. Only typed errors may come out. */
export function replayRandomRecords(redo: RedoFunction, resourceManager: number): void {
  const block = fc.record({
    data: fc.uint8Array({ maxLength: 80 }),
    willInitialize: fc.boolean(),
    blockNumber: fc.nat(100),
  });
  const record = fc.record({
    info: fc.nat(15).map((kind) => kind << 4),
    mainData: fc.uint8Array({ maxLength: 48 }),
    blocks: fc.array(block, { minLength: 1, maxLength: 7 }),
  });
  const content = fc.uint8Array({ minLength: BLOCK_BYTES, maxLength: BLOCK_BYTES });
  fc.assert(
    fc.property(content, record, fc.nat(6), (page, parts, choice) => {
      replays(redo, new Page(page), { resourceManager, ...parts }, choice % parts.blocks.length);
    }),
    { numRuns: 300 },
  );
}
