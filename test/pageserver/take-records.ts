import type { Key } from '../../src/pageserver/keyspace/key.ts';
import { formatKey } from '../../src/pageserver/keyspace/key.ts';
import {
  VALUE_HINTS_LOGGED,
  VALUE_KIND_MASK,
  VALUE_NEEDS_NO_BASE,
} from '../../src/pageserver/layers/value.ts';
import { Page } from '../../src/postgres/page/page.ts';
import { RM_SMGR, RM_XLOG } from '../../src/postgres/rmgr/resource-manager.ts';
import { XLOG_FPI } from '../../src/postgres/rmgr/xlog.ts';
import type { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { BLOCK_BYTES } from '../../src/postgres/wal/record-header.ts';
import { ByteWriter, buildRecord, type RecordParts, type RecordRelation } from '../support/record-builder.ts';
import type { MemoryTimeline, MemoryValue } from './memory-timeline.ts';

const KIND_NAMES = ['image', 'record', 'poison', 'clears'];

/** `kind[ no-base][ hints] length` of a value. */
export function describeValue({ flags, bytes }: MemoryValue): string {
  const kind = KIND_NAMES[flags & VALUE_KIND_MASK] ?? `kind ${flags & VALUE_KIND_MASK}`;
  const noBase = (flags & VALUE_NEEDS_NO_BASE) === 0 ? '' : ' no-base';
  return `${kind}${noBase}${(flags & VALUE_HINTS_LOGGED) === 0 ? '' : ' hints'} ${bytes.length}`;
}

/** What the timeline's last record has put, sorted by key. */
export function putByLast(timeline: MemoryTimeline): string[] {
  const lines: string[] = [];
  for (const { key, value } of timeline.all()) {
    if (value.lsn === timeline.lsn) lines.push(`${formatKey(key)} ${describeValue(value)}`);
  }
  return lines.sort();
}

/** Builds a record that begins where the last one ended, and takes it in. It must not be poisoned. */
export function take(timeline: MemoryTimeline, parts: RecordParts): DecodedRecord {
  const record = nextRecord(timeline, parts);
  if (timeline.take(record)) throw new Error('the record was poisoned');
  return record;
}

export function nextRecord(timeline: MemoryTimeline, parts: RecordParts): DecodedRecord {
  return buildRecord({ ...parts, startLsn: Math.max(timeline.lsn, 0x100_0000) });
}

/** A page that is in use, and told from others by its content. */
export function samplePage(seed: number): Uint8Array {
  const page = new Page();
  page.bytes.fill(seed, 100);
  page.view.setUint16(12, 24, true);
  page.view.setUint16(14, BLOCK_BYTES, true);
  page.view.setUint16(16, BLOCK_BYTES, true);
  page.view.setUint16(18, BLOCK_BYTES | 4, true);
  return page.bytes;
}

/** XLOG FPI: whole pages. */
export function fullPages(relation: RecordRelation, fork: number, ...blocks: readonly number[]): RecordParts {
  return {
    resourceManager: RM_XLOG,
    info: XLOG_FPI,
    xid: 0,
    blocks: blocks.map((blockNumber) => ({
      relation,
      fork,
      blockNumber,
      image: samplePage(blockNumber + 1),
    })),
  };
}

export function createFork(relation: RecordRelation, fork: number): RecordParts {
  return {
    resourceManager: RM_SMGR,
    info: 0x10,
    mainData: new ByteWriter().relation(relation).u32(fork).finish(),
  };
}

/** All three flags are set, as a server always does. */
export function truncateRelation(relation: RecordRelation, blocks: number, flags = 7): RecordParts {
  return {
    resourceManager: RM_SMGR,
    info: 0x20,
    mainData: new ByteWriter().u32(blocks).relation(relation).u32(flags).finish(),
  };
}

/** How the values of a key are described, oldest first. */
export const describeValues = (timeline: MemoryTimeline, key: Key): string[] =>
  timeline.values(key).map(describeValue);
