import { expect, test } from 'vitest';
import { linesOf, sampleData } from '../../test/support/heap-pages.ts';
import { expectDamageIsRefused, redoRefuses } from '../../test/support/hostile-records.ts';
import {
  ByteWriter,
  buildRecord,
  type RecordParts,
  TEST_RELATION,
} from '../../test/support/record-builder.ts';
import { CorruptionError, UnknownRecordError } from '../base/errors.ts';
import { LINE_NORMAL, PAGE_SPECIAL, Page } from '../postgres/page/page.ts';
import { RM_SEQUENCE } from '../postgres/rmgr/resource-manager.ts';
import { sequenceResourceManager } from '../postgres/rmgr/sequence.ts';
import { maskSequence } from './mask/sequence.ts';
import { redoSequence } from './sequence.ts';

const settings = { hintBitsAreLogged: true };

/** last_value -3, log_cnt 32, is_called true, behind a header of 24 bytes. */
const tuple = new ByteWriter().bytes(sampleData(22)).u8(24).u8(0).u64(-3n).u64(32n).u8(1).finish();

function log(data: Uint8Array): RecordParts {
  return {
    resourceManager: RM_SEQUENCE,
    info: 0,
    mainData: new ByteWriter().relation(TEST_RELATION).bytes(data).finish(),
    blocks: [{ willInitialize: true }],
  };
}

test('the page holds the tuple and the magic, and nothing of before', () => {
  const page = new Page();
  page.bytes.fill(0xee);
  expect(redoSequence(page, buildRecord(log(tuple)), 0, settings)).toBe(true);
  expect(linesOf(page)).toEqual([[LINE_NORMAL, 8192 - 8 - 48, 41]]);
  expect([...page.bytes.subarray(8192 - 56, 8192 - 56 + 41)]).toEqual([...tuple]);
  expect(page.view.getUint16(PAGE_SPECIAL, true)).toBe(8184);
  expect(page.view.getBigUint64(8184, true)).toBe(0x1717n);
  expect(page.bytes.subarray(28, 8192 - 56).every((byte) => byte === 0)).toBe(true);
  const masked = new Page(page.bytes.slice());
  masked.bytes.fill(7, 0, 10);
  masked.bytes.fill(7, 28, 1000);
  maskSequence(masked, 0);
  maskSequence(page, 0);
  expect(masked.bytes).toEqual(page.bytes);
});

test('the record can be read', () => {
  expect(sequenceResourceManager.decodeBody(buildRecord(log(tuple)))).toEqual({
    kind: 'LOG',
    ...TEST_RELATION,
    lastValue: -3n,
    logCount: 32n,
    isCalled: true,
    tuple,
  });
  for (let length = 0; length < tuple.length; length++) {
    const cut = buildRecord(log(tuple.slice(0, length)));
    expect(() => sequenceResourceManager.decodeBody(cut)).toThrow(CorruptionError);
  }
});

test('refuses what is no record of a sequence', () => {
  const refuses = (parts: RecordParts, blockId = 0) =>
    redoRefuses(redoSequence, new Page(), buildRecord(parts), blockId);
  for (let length = 0; length < 12; length++) {
    const mainData = log(tuple).mainData?.slice(0, length) as Uint8Array;
    expect(refuses({ ...log(tuple), mainData }), `${length}`).toBe(true);
  }
  expect(refuses(log(new Uint8Array(8153)))).toBe(true);
  expect(refuses(log(new Uint8Array(9000)))).toBe(true);
  expect(refuses({ ...log(tuple), blocks: [{}] }), 'not made anew').toBe(true);
  expect(refuses({ ...log(tuple), blocks: [{ willInitialize: true }, { willInitialize: true }] }, 1)).toBe(
    true,
  );
  const unknown = buildRecord({ ...log(tuple), info: 0x10 });
  expect(() => redoSequence(new Page(), unknown, 0, settings)).toThrow(UnknownRecordError);
  expect(() => sequenceResourceManager.decodeBody(unknown)).toThrow(UnknownRecordError);
});

test('whatever is damaged, replay ends with a refusal at worst', () => {
  expectDamageIsRefused(redoSequence, [{ page: new Page(), parts: log(tuple) }], 500);
});
