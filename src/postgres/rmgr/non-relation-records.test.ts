import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { buildRecord, type RecordParts } from '../../../test/support/record-builder.ts';
import { SAMPLE_CHECKPOINT, SAMPLE_RECORDS } from '../../../test/support/sample-records.ts';
import { CorruptionError, UnknownRecordError } from '../../base/errors.ts';
import { clogResourceManager } from './clog.ts';
import { commitTimestampResourceManager } from './commit-timestamp.ts';
import { databaseResourceManager } from './database.ts';
import { logicalMessageResourceManager } from './logical-message.ts';
import { multixactResourceManager } from './multixact.ts';
import { relationMapResourceManager } from './relation-map.ts';
import { replicationOriginResourceManager } from './replication-origin.ts';
import type { ResourceManager } from './resource-manager.ts';
import { smgrResourceManager } from './smgr.ts';
import { standbyResourceManager } from './standby.ts';
import { tablespaceResourceManager } from './tablespace.ts';
import { xactResourceManager } from './xact.ts';
import { xlogResourceManager } from './xlog.ts';

const RELATION = { tablespace: 1663, database: 5, relation: 16384 };

const managers: readonly ResourceManager[] = [
  xlogResourceManager,
  xactResourceManager,
  smgrResourceManager,
  clogResourceManager,
  databaseResourceManager,
  tablespaceResourceManager,
  multixactResourceManager,
  relationMapResourceManager,
  standbyResourceManager,
  commitTimestampResourceManager,
  replicationOriginResourceManager,
  logicalMessageResourceManager,
];

const NAMED_FIELDS: readonly (readonly [string, object])[] = [
  ['XLOG CHECKPOINT_SHUTDOWN', { checkPoint: SAMPLE_CHECKPOINT }],
  ['XLOG NEXTOID', { nextOid: 32768 }],
  ['XLOG BACKUP_END', { startLsn: 0x3000028 }],
  [
    'XLOG PARAMETER_CHANGE',
    {
      maxConnections: 100,
      maxWorkerProcesses: 8,
      maxWalSenders: 10,
      maxPreparedTransactions: 2,
      maxLocksPerTransaction: 64,
      walLevel: 2,
      walLogHints: true,
      trackCommitTimestamp: true,
    },
  ],
  ['XLOG RESTORE_POINT', { time: 800n, name: 'before' }],
  ['XLOG FPW_CHANGE', { fullPageWrites: false }],
  ['XLOG END_OF_RECOVERY', { time: 801n, timeline: 2, previousTimeline: 1, walLevel: 2 }],
  ['XLOG OVERWRITE_CONTRECORD', { overwrittenLsn: 0x2fffff0, time: 802n }],
  ['XLOG CHECKPOINT_REDO', { walLevel: 1 }],
  ['Transaction ASSIGNMENT', { topXid: 1000, subtransactions: [1001, 1002] }],
  ['Storage CREATE', { relation: RELATION, fork: 3 }],
  ['Storage TRUNCATE', { relation: RELATION, blocks: 7, flags: 7 }],
  ['CLOG ZEROPAGE', { page: 9 }],
  ['CLOG TRUNCATE', { page: 64, oldestXid: 2_097_200, oldestXidDatabase: 5 }],
  [
    'Database CREATE_FILE_COPY',
    { database: 16400, tablespace: 1663, sourceDatabase: 1, sourceTablespace: 1663 },
  ],
  ['Database CREATE_WAL_LOG', { database: 16400, tablespace: 1663 }],
  ['Database DROP', { database: 16400, tablespaces: [1663, 16500] }],
  ['Tablespace CREATE', { tablespace: 16500, path: '/mnt/fast' }],
  ['Tablespace DROP', { tablespace: 16500 }],
  ['MultiXact ZERO_OFF_PAGE', { page: 1 }],
  ['MultiXact ZERO_MEM_PAGE', { page: 2 }],
  [
    'MultiXact CREATE_ID',
    {
      multixact: 5,
      offset: 9,
      members: [
        { xid: 1000, status: 0 },
        { xid: 1001, status: 5 },
      ],
    },
  ],
  [
    'MultiXact TRUNCATE_ID',
    {
      oldestMultixactDatabase: 5,
      startMultixact: 1,
      endMultixact: 70_000,
      startMember: 1,
      endMember: 140_000,
    },
  ],
  ['Standby LOCK', { locks: [{ xid: 1000, database: 5, relation: 16384 }] }],
  [
    'Standby RUNNING_XACTS',
    {
      subtransactionOverflow: false,
      nextXid: 1010,
      oldestRunningXid: 1000,
      latestCompletedXid: 1009,
      xids: [1000, 1005],
      subtransactionXids: [1001],
    },
  ],
  ['CommitTs ZEROPAGE', { page: 3 }],
  ['CommitTs TRUNCATE', { page: 40, oldestXid: 32_800 }],
  ['ReplicationOrigin SET', { origin: 4, remoteLsn: 0x9_0000_0000, force: true }],
  ['ReplicationOrigin DROP', { origin: 4 }],
  [
    'LogicalMessage MESSAGE',
    { database: 5, transactional: true, prefix: 'test', message: Uint8Array.of(1, 2, 3) },
  ],
];
const EXPECTED_BODIES = NAMED_FIELDS.map(([name, fields]) => {
  const kind = name.slice(name.indexOf(' ') + 1);
  return [name, { kind, ...fields }] as const;
});

const managerOf = (id: number): ResourceManager =>
  managers.find((manager) => manager.id === id) as ResourceManager;

describe('resource managers without relation pages', () => {
  test('there is a sample of every kind', () => {
    const kinds = managers.flatMap((manager) => manager.kinds.map((kind) => `${manager.name} ${kind}`));
    expect(Object.keys(SAMPLE_RECORDS).sort()).toEqual(kinds.sort());
  });

  test.each(Object.entries(SAMPLE_RECORDS))(
    '%s: decodes to its kind, with any low info bits',
    (name, parts) => {
      const manager = managerOf(parts.resourceManager);
      for (const lowBits of [0, 1, 2, 0x0f]) {
        const info = (parts.info & 0xf0) | lowBits;
        const body = manager.decodeBody(buildRecord({ ...parts, info }));
        expect(`${manager.name} ${body.kind}`).toBe(name);
        expect(`${manager.name} ${manager.kindName(info)}`).toBe(name);
      }
    },
  );

  test.each(managers.map((manager) => [manager.name, manager] as const))(
    '%s: unknown kinds are refused',
    (_, manager) => {
      for (let info = 0; info < 256; info += 16) {
        if (manager.kindName(info) !== undefined) continue;
        const record = buildRecord({ resourceManager: manager.id, info, mainData: new Uint8Array(64) });
        expect(() => manager.decodeBody(record)).toThrow(UnknownRecordError);
      }
    },
  );

  test.each(Object.entries(SAMPLE_RECORDS))(
    '%s: cut at every byte, or with bytes too many, is refused',
    (name, parts) => {
      const manager = managerOf(parts.resourceManager);
      const data = parts.mainData ?? new Uint8Array(0);
      const lengths = name === 'XLOG NOOP' ? [] : [...data.keys()];
      for (const length of lengths) {
        const record = buildRecord({ ...parts, mainData: data.slice(0, length) });
        expect(() => manager.decodeBody(record), `${length} of ${data.length} bytes`).toThrow(
          CorruptionError,
        );
      }
      if (name === 'XLOG NOOP') return;
      const record = buildRecord({ ...parts, mainData: Uint8Array.from([...data, 0, 0, 0, 0, 0]) });
      expect(() => manager.decodeBody(record)).toThrow(CorruptionError);
    },
  );

  test.each(EXPECTED_BODIES)('%s: decodes its fields', (name, expected) => {
    const parts = SAMPLE_RECORDS[name] as RecordParts;
    expect(managerOf(parts.resourceManager).decodeBody(buildRecord(parts))).toEqual(expected);
  });

  test('any damage gives a value or a typed error', () => {
    const samples = Object.values(SAMPLE_RECORDS).filter((parts) => (parts.mainData?.length ?? 0) > 0);
    fc.assert(
      fc.property(
        fc.constantFrom(...samples),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 0, max: 255 }),
        (parts, changes, info) => {
          const mainData = Uint8Array.from(parts.mainData as Uint8Array);
          for (const [offset, value] of changes) mainData[offset % mainData.length] = value;
          const useInfo = info % 4 === 0 ? info : parts.info;
          const record = buildRecord({ ...parts, info: useInfo, mainData });
          try {
            managerOf(parts.resourceManager).decodeBody(record);
          } catch (error) {
            if (!(error instanceof CorruptionError)) throw error;
          }
        },
      ),
      { numRuns: 5000 },
    );
  });
});
