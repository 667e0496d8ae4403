import { expect, test } from 'vitest';
import { expectDamageIsRefused } from '../../test/support/hostile-records.ts';
import {
  ByteWriter,
  buildRecord,
  type RecordBlock,
  type RecordParts,
} from '../../test/support/record-builder.ts';
import { deadTuple, innerTuple, leafTuple, spgistPage } from '../../test/support/spgist-tuples.ts';
import { UnknownRecordError } from '../base/errors.ts';
import { SPGIST_LEAF } from '../postgres/page/spgist-page.ts';
import { RM_SPGIST } from '../postgres/rmgr/resource-manager.ts';
import {
  XLOG_SPGIST_ADD_LEAF,
  XLOG_SPGIST_ADD_NODE,
  XLOG_SPGIST_MOVE_LEAFS,
  XLOG_SPGIST_PICKSPLIT,
  XLOG_SPGIST_SPLIT_TUPLE,
  XLOG_SPGIST_VACUUM_LEAF,
  XLOG_SPGIST_VACUUM_REDIRECT,
  XLOG_SPGIST_VACUUM_ROOT,
} from '../postgres/rmgr/spgist-layout.ts';
import { redoSpgist } from './spgist.ts';

test('refuses unknown records', () => {
  for (const info of [0x00, 0x90, 0xf0]) {
    const record = buildRecord({ resourceManager: RM_SPGIST, info, blocks: [{}] });
    expect(() => redoSpgist(spgistPage(0, []), record, 0)).toThrow(UnknownRecordError);
  }
});

test('any bytes give a page or a typed error', () => {
  const inner = innerTuple([16, 8, 16], 8);
  const page = spgistPage(SPGIST_LEAF, [
    ...[
      leafTuple(65, 3),
      deadTuple(3),
      leafTuple(66, 0, 40),
      inner,
      deadTuple(1, 5, 5, 5),
      inner,
      deadTuple(3),
    ],
  ]);
  const blocks = (count: number): RecordBlock[] =>
    Array.from({ length: count }, (_, index) => ({ blockNumber: index + 3 }));
  const parts = (info: number, writer: ByteWriter, count: number): RecordParts => ({
    resourceManager: RM_SPGIST,
    info,
    mainData: writer.finish(),
    blocks: blocks(count),
  });
  const leafs = (writer: ByteWriter, count: number) => {
    for (let index = 0; index < count; index++) writer.bytes(leafTuple(97 + index));
    return writer;
  };
  const samples = [
    parts(XLOG_SPGIST_ADD_LEAF, leafs(new ByteWriter().u16s(0, 2, 1, 4, 1), 1), 2),
    parts(
      XLOG_SPGIST_MOVE_LEAFS,
      leafs(new ByteWriter().u16s(2, 0, 0, 4, 1, 0, 9, 0, 0, 0, 1, 3, 2, 7, 8), 3),
      3,
    ),
    parts(XLOG_SPGIST_ADD_NODE, new ByteWriter().u16s(4, 7, 0x200, 6, 1, 0, 9, 0, 0, 0).bytes(inner), 3),
    parts(XLOG_SPGIST_ADD_NODE, new ByteWriter().u16s(4, 0, 0xff00, 0, 0, 0, 9, 0, 0, 0).bytes(inner), 1),
    parts(
      XLOG_SPGIST_SPLIT_TUPLE,
      new ByteWriter()
        .u16s(4, 7, 0x100)
        .bytes(innerTuple([8]))
        .bytes(inner),
      1,
    ),
    parts(
      XLOG_SPGIST_PICKSPLIT,
      leafs(
        new ByteWriter()
          .u16s(0, 2, 2, 0, 7, 0, 0, 4, 1, 0, 9, 0, 0, 0, 1, 3, 1, 8)
          .bytes([0, 1])
          .bytes(inner),
        2,
      ),
      4,
    ),
    parts(XLOG_SPGIST_VACUUM_LEAF, new ByteWriter().u16s(1, 1, 1, 1, 9, 0, 0, 0, 4, 6, 3, 1, 1, 2), 1),
    parts(XLOG_SPGIST_VACUUM_ROOT, new ByteWriter().u16s(3, 0, 9, 0, 0, 0, 1, 3, 4), 1),
    parts(XLOG_SPGIST_VACUUM_REDIRECT, new ByteWriter().u16s(1, 7, 9, 0, 0, 5), 1),
  ];
  expectDamageIsRefused(
    redoSpgist,
    samples.map((sample) => ({ page, parts: sample })),
    6000,
  );
});
