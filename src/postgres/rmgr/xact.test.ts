import { describe, expect, test } from 'vitest';
import { ByteWriter, buildRecord, type RecordParts } from '../../../test/support/record-builder.ts';
import { SAMPLE_RECORDS, transactionEndData } from '../../../test/support/sample-records.ts';
import { CorruptionError } from '../../base/errors.ts';
import type { DecodedRecord } from '../wal/decoded-record.ts';
import { RM_XACT } from './resource-manager.ts';
import { type TransactionBody, xactResourceManager } from './xact.ts';

function decode(name: string): TransactionBody {
  return xactResourceManager.decodeBody(buildRecord(SAMPLE_RECORDS[name] as RecordParts));
}

function transaction(info: number, mainData: Uint8Array): DecodedRecord {
  return buildRecord({ resourceManager: RM_XACT, info, mainData });
}

const INVALIDATIONS = [
  { kind: 'catcache', cache: 41, database: 5, hash: 0xdead },
  { kind: 'catalog', database: 5, catalog: 1259 },
  { kind: 'relcache', database: 5, relation: 16384 },
  { kind: 'smgr', relation: { tablespace: 1663, database: 5, relation: 16390 } },
  { kind: 'relmap', database: 5 },
  { kind: 'snapshot', database: 5, relation: 2619 },
];

describe('Transaction records', () => {
  test('a commit with all its parts', () => {
    expect(decode('Transaction COMMIT')).toEqual({
      kind: 'COMMIT',
      time: 800_000_000_000_000n,
      xinfo: 0x4000_016f,
      database: 5,
      tablespace: 1663,
      subtransactions: [1001, 1002],
      droppedRelations: [
        { tablespace: 1663, database: 5, relation: 16390 },
        { tablespace: 1663, database: 5, relation: 16391 },
      ],
      droppedStats: [{ statsKind: 2, database: 5, object: 16390n }],
      invalidations: INVALIDATIONS,
      preparedXid: 0,
      preparedGid: undefined,
      originLsn: 0x5_0000_0010,
      originTime: 799_000_000_000_000n,
    });
  });

  test('a commit of nothing but its time', () => {
    const body = xactResourceManager.decodeBody(transaction(0x00, transactionEndData({ xinfo: 0 })));
    expect(body).toMatchObject({ kind: 'COMMIT', xinfo: 0, subtransactions: [], droppedRelations: [] });
  });

  test('a commit of a prepared transaction reads its GID before its origin', () => {
    const mainData = transactionEndData({ xinfo: 0xb0, preparedXid: 900, gid: 'odd' });
    const body = xactResourceManager.decodeBody(transaction(0xb0, mainData));
    expect(body).toMatchObject({ preparedXid: 900, preparedGid: 'odd', originLsn: 0x5_0000_0010 });
  });

  test('a prepared transaction', () => {
    expect(decode('Transaction PREPARE')).toEqual({
      kind: 'PREPARE',
      xid: 900,
      database: 5,
      preparedAt: 800_000_000_000_001n,
      owner: 10,
      gid: 'gid',
      subtransactions: [901, 902],
      commitRelations: [{ tablespace: 1663, database: 5, relation: 16400 }],
      abortRelations: [{ tablespace: 1663, database: 5, relation: 16401 }],
      commitStats: [{ statsKind: 2, database: 5, object: 16402n }],
      abortStats: [],
      invalidations: INVALIDATIONS,
      relationCacheFile: true,
      originLsn: 0x7_0000_0000,
      originTime: 5n,
      entries: [{ module: 1, info: 8, data: new Uint8Array(20) }],
    });
  });

  test.each([
    ['an unknown flag', 0x80, 0x200],
    ['an unknown high flag', 0x80, 0x1000_0000],
    ['messages in an abort', 0xa0, 0x008],
    ['a GID without a prepared transaction', 0x80, 0x080],
    ['a prepared transaction in a plain commit', 0x80, 0x010],
    ['COMMIT PREPARED without one', 0xb0, 0x001],
  ])('%s is refused', (_, info, xinfo) => {
    const mainData = transactionEndData({ xinfo, preparedXid: 900, gid: 'gid' });
    expect(() => xactResourceManager.decodeBody(transaction(info, mainData))).toThrow(CorruptionError);
  });

  test.each([-1, 0x7fff_ffff, 0x4000_0000])(
    'a count of %d is refused before anything is made of it',
    (count) => {
      const mainData = new ByteWriter().u64(0n).u32(0x002).u32s(count, 7, 8).finish();
      expect(() => xactResourceManager.decodeBody(transaction(0x80, mainData))).toThrow(CorruptionError);
    },
  );

  test.each([
    ['magic number', 0],
    ['length', 4],
    ['length of its GID', 54],
  ])('a prepared transaction with a wrong %s is refused', (_, offset) => {
    const mainData = Uint8Array.from(SAMPLE_RECORDS['Transaction PREPARE']?.mainData as Uint8Array);
    mainData[offset] = (mainData[offset] as number) ^ 1;
    expect(() => xactResourceManager.decodeBody(transaction(0x10, mainData))).toThrow(CorruptionError);
  });
});
