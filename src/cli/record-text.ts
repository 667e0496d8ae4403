/** One record of WAL, for people and as JSON. */
import { CorruptionError } from '../base/errors.ts';
import { formatLsn } from '../base/lsn.ts';
import { type RecordBody, RM_XACT } from '../postgres/rmgr/resource-manager.ts';
import { getResourceManager, resourceManagers } from '../postgres/rmgr/resource-managers.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { RECORD_SPECIAL_RELATION_UPDATE } from '../postgres/wal/record-header.ts';
import { fieldsText, toJsonValue } from './plain-value.ts';
import { forkName } from './record-filter.ts';

/** A name for the record's kind, also where none is known. */
export function kindName(resourceManager: number, info: number): string {
  const kind = resourceManagers[resourceManager]?.kindName(info);
  return kind ?? `UNKNOWN (0x${(info & 0xf0).toString(16).padStart(2, '0')})`;
}

export function resourceManagerName(resourceManager: number): string {
  return resourceManagers[resourceManager]?.name ?? `custom${String(resourceManager).padStart(3, '0')}`;
}

/** The record's body, or why there is none. */
export function decodeBodyOrError(record: DecodedRecord): RecordBody | CorruptionError {
  try {
    const manager = getResourceManager(record.resourceManager, record.info, record.startLsn);
    return manager.decodeBody(record);
  } catch (error) {
    if (error instanceof CorruptionError) return error;
    throw error;
  }
}

/** Bytes of full-page images in the record, as they stand there. */
export function imageBytes(record: DecodedRecord): number {
  let sum = 0;
  for (let id = 0; id < record.blockCount; id++) {
    if (record.hasBlock(id)) sum += record.blockImageLength[id] as number;
  }
  return sum;
}

/** A line in the manner of pg_waldump, then the decoded body. */
export function recordLine(record: DecodedRecord): string {
  const manager = resourceManagerName(record.resourceManager).padEnd(11);
  const recordLength = String(record.totalLength - imageBytes(record)).padStart(6);
  const totalLength = String(record.totalLength).padStart(6);
  const head =
    `rmgr: ${manager} len (rec/tot): ${recordLength}/${totalLength}, tx: ${String(record.xid).padStart(10)}, ` +
    `lsn: ${formatLsn(record.startLsn)}, prev ${formatLsn(record.previousLsn)}, desc: `;
  return head + recordDescription(record);
}

/** What a line says of a record behind its header: its kind, its body and the blocks that it names. */
export function recordDescription(record: DecodedRecord): string {
  const parts = [`${kindName(record.resourceManager, record.info)} ${bodyText(record)}`.trimEnd()];
  if (record.topLevelXid !== 0) parts.push(`toplevel tx ${record.topLevelXid}`);
  if (record.originId !== 0) parts.push(`origin ${record.originId}`);
  for (let id = 0; id < record.blockCount; id++) {
    if (record.hasBlock(id)) parts.push(blockText(record, id));
  }
  return parts.join(', ');
}

function bodyText(record: DecodedRecord): string {
  const body = decodeBodyOrError(record);
  if (body instanceof CorruptionError) return `(cannot be decoded: ${body.reason})`;
  const { kind: _, ...fields } = body;
  return fieldsText(record.resourceManager === RM_XACT ? withoutZeros(fields) : fields);
}

/** The end of a transaction has a dozen parts, of which most records have none. */
function withoutZeros(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== 0 && value !== 0n));
}

function blockText(record: DecodedRecord, id: number): string {
  const relation = `${record.blockTablespace[id]}/${record.blockDatabase[id]}/${record.blockRelation[id]}`;
  const fork = record.blockFork[id] === 0 ? '' : ` fork ${forkName(record.blockFork[id] as number)}`;
  const text = `blkref #${id}: rel ${relation}${fork} blk ${record.blockNumber[id]}`;
  const init = record.willInitialize(id) ? ' init' : '';
  if (record.blockHasImage[id] === 0) return text + init;
  const use = record.blockApplyImage[id] === 1 ? '' : ' for WAL verification';
  const hole = `hole: offset ${record.blockHoleOffset[id]}, length ${record.blockHoleLength[id]}`;
  const compression = compressionName(record, id);
  const method = compression === undefined ? '' : `, ${record.blockImageLength[id]} bytes by ${compression}`;
  return `${text}${init} (FPW${use}; ${hole}${method})`;
}

function compressionName(record: DecodedRecord, id: number): 'pglz' | 'lz4' | 'zstd' | undefined {
  const info = record.blockImageInfo[id] as number;
  const { imagePglz, imageLz4, imageZstd } = record.version;
  if ((info & imagePglz) !== 0) return 'pglz';
  if ((info & imageLz4) !== 0) return 'lz4';
  return (info & imageZstd) !== 0 ? 'zstd' : undefined;
}

/** All of it as one object. `bodyError` is there instead of `body` where that cannot be decoded. */
export function recordJson(record: DecodedRecord): object {
  const body = decodeBodyOrError(record);
  const blocks: object[] = [];
  for (let id = 0; id < record.blockCount; id++) {
    if (record.hasBlock(id)) blocks.push(blockJson(record, id));
  }
  return {
    lsn: formatLsn(record.startLsn),
    endLsn: formatLsn(record.endLsn),
    previousLsn: formatLsn(record.previousLsn),
    xid: record.xid,
    ...(record.topLevelXid === 0 ? {} : { topLevelXid: record.topLevelXid }),
    ...(record.originId === 0 ? {} : { originId: record.originId }),
    resourceManager: resourceManagerName(record.resourceManager),
    kind: kindName(record.resourceManager, record.info),
    info: record.info,
    ...((record.info & RECORD_SPECIAL_RELATION_UPDATE) === 0 ? {} : { specialRelationUpdate: true }),
    totalBytes: record.totalLength,
    imageBytes: imageBytes(record),
    blocks,
    ...(body instanceof CorruptionError
      ? { bodyError: body.reason }
      : { body: toJsonValue(withoutKind(body)) }),
  };
}

function withoutKind(body: RecordBody): object {
  const { kind: _, ...fields } = body;
  return fields;
}

function blockJson(record: DecodedRecord, id: number): object {
  const compression = compressionName(record, id);
  const image = {
    isApplied: record.blockApplyImage[id] === 1,
    bytes: record.blockImageLength[id],
    holeOffset: record.blockHoleOffset[id],
    holeLength: record.blockHoleLength[id],
    ...(compression === undefined ? {} : { compression }),
  };
  return {
    id,
    tablespace: record.blockTablespace[id],
    database: record.blockDatabase[id],
    relation: record.blockRelation[id],
    fork: forkName(record.blockFork[id] as number),
    block: record.blockNumber[id],
    willInitialize: record.willInitialize(id),
    dataBytes: record.blockDataLength[id],
    ...(record.blockHasImage[id] === 0 ? {} : { image }),
  };
}
