import { CorruptionError, VarveError } from '../../base/errors.ts';
import { toLsn } from '../../base/lsn.ts';
import {
  type PageProtocolVersion,
  readBlock,
  readDatabase,
  readFork,
  readRelation,
  readTablespace,
} from '../../contracts/page-messages.ts';
import { writePageChecksum } from '../../postgres/page/checksum.ts';
import { isNewPage, type Page } from '../../postgres/page/page.ts';
import { KIND_RELATION_BLOCK } from '../keyspace/keys.ts';
import type { ReadContext } from '../layers/read-context.ts';
import { SIZE_LACKING } from '../read/fork-sizes.ts';
import type { PageRequest } from '../read/page-reader.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import { hasReached, waitForLsn } from '../timeline/timeline-reads.ts';
import { checkFork, readStoredSize, sizeToServe } from './fork-rules.ts';
import { checkRequestLsns, effectiveLsn } from './lsn-rules.ts';
import { BATCH_REQUESTS_MAX, type PageBatch } from './page-batch.ts';
import type { ResponseBuffer } from './response-buffers.ts';

/** What an error becomes that is a client's business: the response to its request. */
export type NoteError = (error: VarveError, lsn: number) => void;

/**
 * Answers requests for pages, in two steps: first all that is in memory, without an await, then what had to be read. Not
 * for use by two at once.
 */
export class PageReading {
  readonly #version: PageProtocolVersion;
  readonly #context: ReadContext;
  readonly #noteError: NoteError;
  /** Used for every page that is looked for in memory. */
  readonly #key = { kind: KIND_RELATION_BLOCK, field2: 0, field3: 0, field4: 0, field5: 0, index: 0 };
  /** By request: where it is read. */
  readonly #lsns = new Float64Array(BATCH_REQUESTS_MAX);
  /** Requests that memory did not suffice for. */
  readonly #missing = new Int32Array(BATCH_REQUESTS_MAX);
  #missingCount = 0;

  constructor(version: PageProtocolVersion, context: ReadContext, noteError: NoteError) {
    this.#version = version;
    this.#context = context;
    this.#noteError = noteError;
  }

  /** Whether `readMissing` has something to do. */
  get isMissing(): boolean {
    return this.#missingCount > 0;
  }

  /**
   * Answers what can be answered from memory, from request `from` on, up to one whose LSN has to be waited for. Returns
   * which that is: the batch's count, if there is none. The caller is in the timeline's gate.
   */
  readNow(
    { timeline, reads }: ActiveTimeline,
    batch: PageBatch,
    buffer: ResponseBuffer,
    from: number,
  ): number {
    const last = timeline.lastRecordLsn;
    // What an ancestor has not taken in yet after a restart is waited for below.
    const isWhole = hasReached(timeline, last);
    this.#missingCount = 0;
    for (let request = from; request < batch.count; request++) {
      let lsn = 0;
      try {
        const requestLsn = batch.requestLsn(request);
        const notModifiedSince = batch.notModifiedSince(request);
        lsn = requestLsn;
        checkRequestLsns(requestLsn, notModifiedSince);
        if (notModifiedSince > last) {
          reads.checkPromised(requestLsn);
          return request;
        }
        lsn = effectiveLsn(requestLsn, last);
        reads.checkPromised(lsn);
        this.#lsns[request] = lsn;
        if (isWhole && this.#tryNow(timeline, batch, buffer, request, lsn)) continue;
        this.#missing[this.#missingCount++] = request;
      } catch (error) {
        this.#answerError(batch, buffer, request, lsn, error);
        if (error instanceof CorruptionError) timeline.doors.metrics.noteReadError(error);
      }
    }
    return batch.count;
  }

  /** Whether the page was in memory, or is none. @throws VarveError, as the response is to say */
  #tryNow(
    timeline: ActiveTimeline['timeline'],
    batch: PageBatch,
    buffer: ResponseBuffer,
    request: number,
    lsn: number,
  ): boolean {
    const { view } = batch;
    const version = this.#version;
    const offset = batch.offsetOf(request);
    const key = this.#key;
    key.field2 = readTablespace(version, view, offset);
    key.field3 = readDatabase(version, view, offset);
    key.field4 = readRelation(version, view, offset);
    key.field5 = readFork(version, view, offset);
    key.index = readBlock(version, view, offset);
    checkFork(key.field4, key.field5);
    const stored = timeline.forkSizes.readNow(
      key.field2,
      key.field3,
      key.field4,
      key.field5,
      lsn,
      this.#context,
    );
    if (stored === SIZE_LACKING) return false;
    const page = buffer.pages[request] as Page;
    if (key.index >= sizeToServe(stored, key)) page.bytes.fill(0);
    else if (!timeline.pageReader.readNow(key, lsn, page, this.#context)) return false;
    else if (timeline.hasDataChecksums) setChecksum(page, key.index);
    buffer.answerPage(batch, request);
    return true;
  }

  /**
   * Reads what memory did not suffice for, all together where that works, and one by one where it does not: each has its
   * own error.
   * @throws VarveError ‘cancelled’
   */
  async readMissing(active: ActiveTimeline, batch: PageBatch, buffer: ResponseBuffer): Promise<void> {
    const missing = [...this.#missing.subarray(0, this.#missingCount)];
    this.#missingCount = 0;
    const toRead: { readonly request: number; readonly page: PageRequest }[] = [];
    for (const request of missing) {
      const lsn = this.#lsns[request] as number;
      await this.#answering(batch, buffer, request, async () => {
        const page = await this.#needsReading(active, batch, buffer, request, lsn);
        if (page === undefined) buffer.answerPage(batch, request);
        else toRead.push({ request, page });
      });
    }
    if (toRead.length === 0) return;
    const pages = toRead.map(({ page }) => page);
    if (toRead.length > 1) {
      try {
        await active.reads.pages(pages, this.#context);
        for (const { request, page } of toRead) this.#finish(active, batch, buffer, request, page);
        return;
      } catch (error) {
        refuseToAnswer(error);
      }
    }
    for (const { request, page } of toRead) {
      await this.#answering(batch, buffer, request, async () => {
        await active.reads.pages([page], this.#context);
        this.#finish(active, batch, buffer, request, page);
      });
    }
  }

  /** Waits until a request can be answered. False: it has been answered, with an error. @throws VarveError ‘cancelled’ */
  async waitFor(
    { timeline }: ActiveTimeline,
    batch: PageBatch,
    buffer: ResponseBuffer,
    request: number,
  ): Promise<boolean> {
    this.#lsns[request] = batch.notModifiedSince(request);
    return await this.#answering(batch, buffer, request, () =>
      waitForLsn(
        timeline,
        batch.notModifiedSince(request),
        timeline.settings.lsnWaitMs,
        this.#context.signal,
      ),
    );
  }

  /** What is to be read for a request; undefined where its page is behind the end of its fork. */
  async #needsReading(
    active: ActiveTimeline,
    batch: PageBatch,
    buffer: ResponseBuffer,
    request: number,
    lsn: number,
  ): Promise<PageRequest | undefined> {
    const { view } = batch;
    const version = this.#version;
    const offset = batch.offsetOf(request);
    const key = {
      kind: KIND_RELATION_BLOCK,
      field2: readTablespace(version, view, offset),
      field3: readDatabase(version, view, offset),
      field4: readRelation(version, view, offset),
      field5: readFork(version, view, offset),
      index: readBlock(version, view, offset),
    };
    const target = buffer.pages[request] as Page;
    const stored = await readStoredSize(active, key, toLsn(lsn), this.#context);
    if (key.index < sizeToServe(stored, key)) return { key, lsn, target };
    target.bytes.fill(0);
    return undefined;
  }

  #finish(
    { timeline }: ActiveTimeline,
    batch: PageBatch,
    buffer: ResponseBuffer,
    request: number,
    { key, target }: PageRequest,
  ): void {
    if (timeline.hasDataChecksums) setChecksum(target, key.index);
    buffer.answerPage(batch, request);
  }

  /** Does something for a request, whose response is the error where it fails. Whether it worked. */
  async #answering(
    batch: PageBatch,
    buffer: ResponseBuffer,
    request: number,
    work: () => Promise<void>,
  ): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.#answerError(batch, buffer, request, this.#lsns[request] as number, error);
      return false;
    }
  }

  #answerError(batch: PageBatch, buffer: ResponseBuffer, request: number, lsn: number, error: unknown): void {
    const reason = refuseToAnswer(error);
    this.#noteError(reason, lsn);
    buffer.answerError(batch, request, reason.message);
  }
}

/** The error, if it is one that a client is told of its request. @throws it, if it is a bug, or who works is to stop */
export function refuseToAnswer(error: unknown): VarveError {
  if (!(error instanceof VarveError) || error.kind === 'assertion' || error.kind === 'cancelled') throw error;
  return error;
}

/** What a server with data checksums expects of a page that it reads: storage keeps them without. */
function setChecksum(page: Page, block: number): void {
  if (!isNewPage(page)) writePageChecksum(page, block);
}
