import { afterAll, beforeAll, expect, test } from 'vitest';
import { nodeFiles } from '../../src/io/node/files.ts';
import { importCluster } from '../../src/pageserver/ingest/import-cluster.ts';
import { relationBlockKey } from '../../src/pageserver/keyspace/keys.ts';
import { CLOG_XACTS_PER_PAGE, MULTIXACT_OFFSETS_PER_PAGE } from '../../src/postgres/files/slru.ts';
import * as rm from '../../src/postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import type { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { effectsOf } from '../../src/redo/effects/effects-of.ts';
import { redo } from '../../src/redo/redo.ts';
import { EffectApplier } from '../oracle/apply-effects.ts';
import { ReplayedCluster } from '../oracle/replayed-cluster.ts';
import { ByteWriter, type RecordParts, type RecordRelation } from '../support/record-builder.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { compareCluster } from './compare-cluster.ts';
import { MemoryTimeline } from './memory-timeline.ts';
import { createFork, fullPages, nextRecord, samplePage, truncateRelation } from './take-records.ts';

/** Records that a server could write, but in an order and with gaps that it hardly ever would. */

const FORKS = [0, 0, 0, 2, 3];
const RELATIONS: readonly RecordRelation[] = [1, 2, 3, 4].map((number) => ({
  tablespace: 1663,
  database: number < 4 ? 5 : 16_400,
  relation: 20_000 + number,
}));

function transactionEnd(random: SeededRandom): RecordParts {
  const xid = 800 + random.below(5 * CLOG_XACTS_PER_PAGE);
  const writer = new ByteWriter().u64(800_000_000_000_000n + BigInt(random.below(1e7)));
  const xinfo = (random.chance(0.5) ? 0x002 : 0) | (random.chance(0.3) ? 0x004 : 0);
  writer.u32(xinfo);
  if ((xinfo & 0x002) !== 0) {
    const count = 1 + random.below(5);
    writer.u32(count);
    for (let index = 0; index < count; index++) writer.u32(xid + random.below(40_000));
  }
  if ((xinfo & 0x004) !== 0) writer.u32(2).relation(random.pick(RELATIONS)).relation(random.pick(RELATIONS));
  return {
    resourceManager: rm.RM_XACT,
    info: random.pick([0x80, 0xa0]),
    xid,
    mainData: writer.finish(),
  };
}

function multixact(random: SeededRandom): RecordParts {
  const page = random.below(3);
  if (random.chance(0.4)) {
    const mainData = new ByteWriter().u64(BigInt(page)).finish();
    return { resourceManager: rm.RM_MULTIXACT, info: random.pick([0x00, 0x10]), xid: 0, mainData };
  }
  const id = (page + 1) * MULTIXACT_OFFSETS_PER_PAGE - 1 - random.below(3);
  const writer = new ByteWriter().u32s(id, random.below(5000));
  const count = 1 + random.below(4);
  writer.u32(count);
  for (let index = 0; index < count; index++) writer.u32s(1000 + index, 1);
  return { resourceManager: rm.RM_MULTIXACT, info: 0x20, xid: 0, mainData: writer.finish() };
}

/** A heap record that clears visibility and brings an image of the heap's page. */
function clearVisibility(random: SeededRandom): RecordParts {
  // Seldom far off, on the second page of the map: the gap is long.
  const blockNumber = random.chance(0.04) ? 33_000 : random.below(8);
  return {
    resourceManager: rm.RM_HEAP,
    info: 0x10,
    mainData: new ByteWriter().u32(1000).u16(1).u8(0).u8(1).finish(),
    blocks: [{ relation: random.pick(RELATIONS), blockNumber, image: samplePage(blockNumber & 7) }],
  };
}

function rare(random: SeededRandom): RecordParts {
  const database = (info: number, writer: ByteWriter): RecordParts => {
    return { resourceManager: rm.RM_DBASE, info, mainData: writer.finish() };
  };
  switch (random.below(5)) {
    case 0:
      return database(0x00, new ByteWriter().u32s(16_400, 1663, 5, 1663));
    case 1:
      return database(0x20, new ByteWriter().u32s(16_400, 1, 1663));
    case 2:
      return {
        resourceManager: rm.RM_CLOG,
        info: 0,
        mainData: new ByteWriter().u64(BigInt(random.below(70))).finish(),
      };
    case 3:
      return {
        resourceManager: rm.RM_CLOG,
        info: 0x10,
        mainData: new ByteWriter()
          .u64(BigInt(random.below(70)))
          .u32s(800, 5)
          .finish(),
      };
    default: {
      const writer = new ByteWriter()
        .u32s(100, 8, 10, 2, 64, 2)
        .u8(random.below(2))
        .u8(random.below(2))
        .zeros(2);
      return { resourceManager: rm.RM_XLOG, info: 0x60, xid: 0, mainData: writer.finish() };
    }
  }
}

function randomRecord(random: SeededRandom): RecordParts {
  const relation = random.pick(RELATIONS);
  const dice = random.below(100);
  if (dice < 30) {
    const blocks = new Set(Array.from({ length: 1 + random.below(3) }, () => random.below(12)));
    return fullPages(relation, random.pick(FORKS), ...blocks);
  }
  if (dice < 40) {
    const image = samplePage(1);
    const blocks = [
      { relation, fork: random.pick(FORKS), blockNumber: random.below(14), image, applyImage: false },
    ];
    return { resourceManager: rm.RM_XLOG, info: 0xa0, xid: 0, blocks };
  }
  if (dice < 50) return truncateRelation(relation, random.below(14), random.pick([7, 7, 2, 1]));
  if (dice < 56) return createFork(relation, random.pick(FORKS));
  if (dice < 66) return clearVisibility(random);
  if (dice < 82) return transactionEnd(random);
  if (dice < 94) return multixact(random);
  return rare(random);
}

function replay(cluster: ReplayedCluster, effects: EffectApplier, record: DecodedRecord): void {
  effects.advance(record);
  for (const effect of effectsOf(record)) effects.apply(effect);
  effects.clearVisibility(record);
  for (let id = 0; id < record.blockCount; id++) {
    const relation = {
      tablespace: record.blockTablespace[id] as number,
      database: record.blockDatabase[id] as number,
      relation: record.blockRelation[id] as number,
    };
    const page = cluster
      .makeFork(relation, record.blockFork[id] as number)
      .makePage(record.blockNumber[id] as number);
    redo(page, record, id, effects.redoSettings);
  }
}

let server: StockPostgres;
beforeAll(async () => {
  server = await StockPostgres.create({ major: 17 });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

test.each([2, 3])(
  'random records give what replay gives, then and afterwards (seed %d)',
  async (seed) => {
    const random = new SeededRandom(seed);
    const cluster = ReplayedCluster.read(server.dataDirectory, POSTGRES_17);
    const effects = new EffectApplier(cluster);
    const timeline = new MemoryTimeline();
    await importCluster(nodeFiles, server.dataDirectory, POSTGRES_17, {
      put: (key, value) => timeline.put(key, value),
    });
    timeline.restart();
    expect(compareCluster(timeline, cluster, effects.counters.nextXid)).toEqual([]);
    const past: { relation: RecordRelation; lsn: number; block: number; page: Uint8Array }[] = [];
    for (let count = 1; count <= 300; count++) {
      const record = nextRecord(timeline, randomRecord(random));
      expect(timeline.take(record)).toBe(false);
      replay(cluster, effects, record);
      if (random.chance(0.02)) timeline.restart();
      if (count % 100 === 0) {
        expect(compareCluster(timeline, cluster, effects.counters.nextXid)).toEqual([]);
      }
      const relation = random.pick(RELATIONS);
      const fork = cluster.findFork(relation.tablespace, relation.database, relation.relation, 0);
      if (fork === undefined || fork.blocks === 0) continue;
      const block = random.below(Math.min(12, fork.blocks));
      past.push({
        relation,
        lsn: timeline.lsn,
        block,
        page: fork.pages[block]?.bytes.slice() ?? new Uint8Array(8192),
      });
    }
    expect(past.length).toBeGreaterThan(100);
    for (const { relation, lsn, block, page } of past) {
      const found = timeline.readPage(relationBlockKey(relation, 0, block), lsn);
      expect(Buffer.compare(found.bytes, page), `block ${block} of ${relation.relation} at ${lsn}`).toBe(0);
    }
    expect([...timeline.missing.keys()].sort()).toContain('zero-pages');
  },
  60_000,
);
