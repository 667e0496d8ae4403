import { BadRequestError, VarveError } from '../../base/errors.ts';
import { type Lsn, toLsn } from '../../base/lsn.ts';
import {
  REQUEST_DATABASE_SIZE,
  REQUEST_EXISTS,
  REQUEST_NBLOCKS,
  readDatabase,
  readDatabaseOfSize,
  readFork,
  readRelation,
  readSlruKind,
  readSlruSegment,
  readTablespace,
  SLRU_KIND_CLOG,
  SLRU_KIND_MULTIXACT_MEMBERS,
  SLRU_KIND_MULTIXACT_OFFSETS,
  writeDatabaseSize,
} from '../../contracts/page-messages.ts';
import { DEFAULT_TABLESPACE } from '../../postgres/files/relation-locator.ts';
import type { SlruName } from '../../postgres/files/slru.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import type { Key } from '../keyspace/key.ts';
import { databaseRange, KIND_RELATION_SIZE, relationSizeKey } from '../keyspace/keys.ts';
import { decodeSize } from '../keyspace/stored-values.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import { waitForLsn } from '../timeline/timeline-reads.ts';
import { checkFork, readStoredSize, sizeToServe } from './fork-rules.ts';
import { checkRequestLsns, effectiveLsn } from './lsn-rules.ts';
import type { PageBatch } from './page-batch.ts';
import { beginResponse } from './response-buffers.ts';

const SLRU_BY_KIND: Readonly<Record<number, SlruName>> = {
  [SLRU_KIND_CLOG]: 'clog',
  [SLRU_KIND_MULTIXACT_MEMBERS]: 'multixact-members',
  [SLRU_KIND_MULTIXACT_OFFSETS]: 'multixact-offsets',
};
const COUNT_BYTES = 4;

/**
 * Answers a request of another kind than for a page, which is alone in its batch. Resolves with the CopyData to send.
 * @throws VarveError, as the response is to say; ‘cancelled’
 */
export async function answerOther(
  active: ActiveTimeline,
  batch: PageBatch,
  context: ReadContext,
): Promise<Uint8Array> {
  const lsn = await lsnToReadAt(active, batch, context);
  switch (batch.tag) {
    case REQUEST_EXISTS:
      return answerExists(active, batch, lsn, context);
    case REQUEST_NBLOCKS:
      return answerNblocks(active, batch, lsn, context);
    case REQUEST_DATABASE_SIZE:
      return answerDatabaseSize(active, batch, lsn, context);
    default:
      return answerSlruSegment(active, batch, lsn, context);
  }
}

/** See protocols of the page service: what is not there yet is waited for, what is not promised any more is refused. */
async function lsnToReadAt(
  { timeline, reads }: ActiveTimeline,
  batch: PageBatch,
  context: ReadContext,
): Promise<Lsn> {
  const requestLsn = batch.requestLsn(0);
  const notModifiedSince = batch.notModifiedSince(0);
  checkRequestLsns(requestLsn, notModifiedSince);
  reads.checkPromised(requestLsn);
  if (notModifiedSince > timeline.lastRecordLsn) {
    await waitForLsn(timeline, notModifiedSince, timeline.settings.lsnWaitMs, context.signal);
  }
  return toLsn(effectiveLsn(requestLsn, timeline.lastRecordLsn));
}

/** The key of the size of the fork that a request is about. */
function forkOf({ version, view }: PageBatch): Key {
  const relation = {
    tablespace: readTablespace(version, view, 0),
    database: readDatabase(version, view, 0),
    relation: readRelation(version, view, 0),
  };
  const fork = readFork(version, view, 0);
  checkFork(relation.relation, fork);
  return relationSizeKey(relation, fork);
}

async function answerExists(
  active: ActiveTimeline,
  batch: PageBatch,
  lsn: Lsn,
  context: ReadContext,
): Promise<Uint8Array> {
  const stored = await readStoredSize(active, forkOf(batch), lsn, context);
  const { message, payloadOffset } = beginResponse(batch, 1);
  message[payloadOffset] = stored === undefined ? 0 : 1;
  return message;
}

async function answerNblocks(
  active: ActiveTimeline,
  batch: PageBatch,
  lsn: Lsn,
  context: ReadContext,
): Promise<Uint8Array> {
  const key = forkOf(batch);
  const size = sizeToServe(await readStoredSize(active, key, lsn, context), key);
  const { message, view, payloadOffset } = beginResponse(batch, COUNT_BYTES);
  view.setUint32(payloadOffset, size);
  return message;
}

/** All forks of all relations that the database has in the default tablespace (pgdatadir_mapping.rs, get_db_size). */
async function answerDatabaseSize(
  { reads }: ActiveTimeline,
  batch: PageBatch,
  lsn: Lsn,
  context: ReadContext,
): Promise<Uint8Array> {
  const database = readDatabaseOfSize(batch.version, batch.view, 0);
  const range = databaseRange(KIND_RELATION_SIZE, DEFAULT_TABLESPACE, database);
  let blocks = 0;
  for (const { bytes } of await reads.scan(range, lsn, context)) blocks += decodeSize(bytes);
  const { message, view, payloadOffset } = beginResponse(batch, 8);
  writeDatabaseSize(view, payloadOffset, blocks * BLOCK_BYTES);
  return message;
}

async function answerSlruSegment(
  { reads }: ActiveTimeline,
  batch: PageBatch,
  lsn: Lsn,
  context: ReadContext,
): Promise<Uint8Array> {
  const kind = readSlruKind(batch.version, batch.view, 0);
  const segment = readSlruSegment(batch.version, batch.view, 0);
  const slru = SLRU_BY_KIND[kind];
  if (slru === undefined) throw new BadRequestError('BAD_SLRU', `there is no SLRU ${kind}`);
  const pages = await reads.slruSegment(slru, segment, lsn, context);
  if (pages === undefined) {
    throw new VarveError('not-found', 'SEGMENT_NOT_FOUND', `there is no segment ${segment} of ${slru}`);
  }
  const { message, view, payloadOffset } = beginResponse(batch, COUNT_BYTES + pages.length);
  view.setUint32(payloadOffset, pages.length / BLOCK_BYTES);
  message.set(pages, payloadOffset + COUNT_BYTES);
  return message;
}
