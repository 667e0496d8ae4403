import {
  KIND_DATABASE,
  KIND_RELATION_MAP,
  KIND_RELATION_SIZE,
  KIND_SLRU_SEGMENT,
  KIND_TABLESPACE,
  KIND_TWO_PHASE,
  kindRange,
  relationBlockKey,
  SLRU_NAMES,
  slruBlockKey,
} from '../../src/pageserver/keyspace/keys.ts';
import { decodeSize } from '../../src/pageserver/keyspace/stored-values.ts';
import { SLRU_PAGES_PER_SEGMENT, type SlruName } from '../../src/postgres/files/slru.ts';
import { fullXidAt } from '../../src/postgres/files/two-phase-file.ts';
import { FORK_FREE_SPACE_MAP } from '../../src/postgres/wal/record-header.ts';
import type { ReplayedCluster } from '../oracle/replayed-cluster.ts';
import type { MemoryTimeline } from './memory-timeline.ts';

const ZERO_PAGE = new Uint8Array(8192);

/**
 * Compares a timeline's last state with what replay in memory has made: every fork but free space maps, every page, SLRU,
 * relation map, prepared transaction, database and tablespace. Returns what differs, one line each.
 */
export function compareCluster(
  timeline: MemoryTimeline,
  cluster: ReplayedCluster,
  nextXid: number,
): string[] {
  const differences: string[] = [];
  compareForks(timeline, cluster, differences);
  for (const slru of SLRU_NAMES) compareSlru(timeline, cluster, slru, differences);
  const entries = (kind: number): { key: string; value: Uint8Array }[] =>
    timeline.scan(kindRange(kind)).map(({ key, value }) => ({ key: `${key.field2}/${key.field3}`, value }));
  const maps = new Map(entries(KIND_RELATION_MAP).map(({ key, value }) => [key, value]));
  compareContents('relation map', maps, cluster.relationMaps, differences);
  const databases = new Map(entries(KIND_DATABASE).map(({ key }) => [key, ZERO_PAGE]));
  compareContents(
    'database',
    databases,
    new Map([...cluster.databases].map((key) => [key, ZERO_PAGE])),
    differences,
  );
  const prepared = timeline.scan(kindRange(KIND_TWO_PHASE));
  compareContents(
    'prepared transaction',
    new Map(prepared.map(({ key, value }) => [key.field3 * 2 ** 32 + key.index, value])),
    new Map([...cluster.prepared].map(([xid, value]) => [fullXidAt(nextXid, xid), value])),
    differences,
  );
  const tablespaces = timeline
    .scan(kindRange(KIND_TABLESPACE))
    .map(({ key }) => [key.index, ZERO_PAGE] as const);
  compareContents(
    'tablespace',
    new Map(tablespaces),
    new Map([...cluster.tablespaces].map((oid) => [oid, ZERO_PAGE])),
    differences,
  );
  return differences;
}

function compareForks(timeline: MemoryTimeline, cluster: ReplayedCluster, differences: string[]): void {
  const sizes = new Map<string, number>();
  for (const { key, value } of timeline.scan(kindRange(KIND_RELATION_SIZE))) {
    sizes.set(`${key.field2}/${key.field3}/${key.field4}/${key.field5}`, decodeSize(value));
  }
  for (const [name, fork] of cluster.forks) {
    if (fork.fork === FORK_FREE_SPACE_MAP) continue;
    const blocks = sizes.get(name);
    sizes.delete(name);
    if (blocks !== fork.blocks) {
      differences.push(`${name} has ${blocks} blocks instead of ${fork.blocks}`);
      continue;
    }
    for (let block = 0; block < blocks; block++) {
      const page = timeline.readPage(relationBlockKey(fork.relation, fork.fork, block));
      if (Buffer.compare(page.bytes, fork.pages[block]?.bytes ?? ZERO_PAGE) !== 0) {
        differences.push(`${name} block ${block}`);
      }
    }
  }
  for (const name of sizes.keys()) differences.push(`${name} should not exist`);
}

function compareSlru(
  timeline: MemoryTimeline,
  cluster: ReplayedCluster,
  slru: SlruName,
  differences: string[],
): void {
  const ours = new Set<number>();
  for (const { key, value } of timeline.scan(kindRange(KIND_SLRU_SEGMENT))) {
    if (SLRU_NAMES[key.field2] !== slru) continue;
    const first = key.field4 * SLRU_PAGES_PER_SEGMENT;
    for (let page = first; page < first + decodeSize(value); page++) ours.add(page);
  }
  const theirs = cluster.slrus[slru];
  for (const page of theirs.keys()) {
    if (!ours.has(page)) differences.push(`${slru} page ${page} does not exist`);
  }
  for (const page of ours) {
    const wanted = theirs.get(page)?.bytes ?? ZERO_PAGE;
    const found = timeline.readPage(slruBlockKey(slru, page));
    if (Buffer.compare(found.bytes, wanted) !== 0) differences.push(`${slru} page ${page}`);
  }
}

function compareContents<Name>(
  what: string,
  ours: ReadonlyMap<Name, Uint8Array>,
  theirs: ReadonlyMap<Name, Uint8Array>,
  differences: string[],
): void {
  for (const [name, content] of theirs) {
    const found = ours.get(name);
    if (found === undefined) differences.push(`${what} ${name} does not exist`);
    else if (Buffer.compare(found, content) !== 0) differences.push(`${what} ${name}`);
  }
  for (const name of ours.keys()) {
    if (!theirs.has(name)) differences.push(`${what} ${name} should not exist`);
  }
}
