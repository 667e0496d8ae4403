import { AssertionError, VarveError } from '../base/errors.ts';
import type { TenantId, TimelineId } from '../base/ids.ts';
import type { Lsn } from '../base/lsn.ts';
import { formatPageServiceCommand } from '../contracts/page-commands.ts';
import * as messages from '../contracts/page-messages.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import type { CopyEnd, CopyStream } from '../libpq/copy-stream.ts';
import type { RelationLocator } from '../postgres/files/relation-locator.ts';
import { BLOCK_BYTES } from '../postgres/wal/record-header.ts';
import { ProtocolError } from '../postgres/wire/wire-error.ts';
import { type PageAnswer, readAnswer } from './page-answer.ts';
import { RequestBatch } from './request-batch.ts';
import { RequestWindow } from './request-window.ts';

/** What a page service says that it cannot answer a request (tag 103). The stream goes on. */
export class PageRequestError extends VarveError {
  constructor(reason: string) {
    super('precondition', 'PAGE_REQUEST_REFUSED', reason);
  }
}

/**
 * Who takes the answers, in the order of the requests, each with its request's number. The methods are called one after
 * another, never within a call to the stream. What one of them throws ends the stream.
 */
export interface PageReceiver {
  /** The page is the 8192 bytes from `offset` on, valid during this call. */
  onPage(request: number, bytes: Uint8Array, offset: number): void;
  /** Any other answer. */
  onAnswer(request: number, answer: PageAnswer): void;
  onRefused(request: number, error: PageRequestError): void;
  /** Called once, last, with why. Requests that are not answered never will be. */
  onEnd(error: Error): void;
}

export interface PageStreamOptions {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  /** 3, in which answers repeat what was asked, unless said otherwise. */
  readonly version?: messages.PageProtocolVersion;
}

/**
 * As of when: at `requestLsn`, or at an earlier LSN from `notModifiedSince` on, which the client knows to show the same.
 * LATEST is a request LSN for whoever writes the timeline.
 */
export interface ReadLsns {
  readonly requestLsn: Lsn;
  readonly notModifiedSince: Lsn;
}

/**
 * A pagestream: requests and answers, each on its own. A request is sent whether or not answers are read, and nothing
 * is allocated for a page or the request of one.
 *
 * Requests of one turn of the event loop leave together at its end. Whoever sends many keeps `unsentBytes` within a
 * bound, see `drained`: a service that nobody takes answers from does not take requests either.
 */
export class PageStream {
  readonly version: messages.PageProtocolVersion;
  readonly #connection: ClientConnection;
  readonly #receiver: PageReceiver;
  readonly #window = new RequestWindow();
  #stream: { readonly copy: CopyStream; readonly batch: RequestBatch } | undefined;
  #isFlushDue = false;
  #ending: Error | undefined;

  private constructor(
    connection: ClientConnection,
    version: messages.PageProtocolVersion,
    receiver: PageReceiver,
  ) {
    this.#connection = connection;
    this.version = version;
    this.#receiver = receiver;
  }

  /**
   * Begins a stream on a connection that does nothing else, and is the stream's from here on.
   * @throws PostgresError where the service refuses; what the connection failed of
   */
  static async open(
    connection: ClientConnection,
    { tenantId, timelineId, version = 3 }: PageStreamOptions,
    receiver: PageReceiver,
  ): Promise<PageStream> {
    const stream = new PageStream(connection, version, receiver);
    const target = { tenantId, timelineId };
    const command = formatPageServiceCommand({ kind: 'PageStream', protocolVersion: version, ...target });
    const copy = await connection.copyBoth(command, {
      onCopyData: (bytes, offset, length, view) => stream.#take(bytes, offset, length, view),
      onCopyEnd: (end) => stream.#onEnd(end),
    });
    stream.#stream = { copy, batch: new RequestBatch(copy) };
    return stream;
  }

  /** Requests that have no answer yet. */
  get inFlight(): number {
    return this.#window.count;
  }

  /** Bytes of requests that have not left yet. */
  get unsentBytes(): number {
    const { copy, batch } = this.#opened;
    return batch.length + copy.unsentBytes;
  }

  /** No further answer comes, and nothing can be asked any more. */
  get isEnded(): boolean {
    return this.#ending !== undefined;
  }

  /** Resolves once at most `limitBytes` are unsent, or the connection is gone. */
  drained(limitBytes: number): Promise<void> {
    this.flush();
    return this.#opened.copy.drained(limitBytes);
  }

  /** No answers until `resume`: the service is held back. */
  pause(): void {
    this.#opened.copy.pause();
  }

  resume(): void {
    this.#opened.copy.resume();
  }

  /**
   * Asks for a page. Gives the number of the request, as all of these: they count from 0.
   * @throws what the stream has ended of
   */
  requestPage(
    requestLsn: Lsn,
    notModifiedSince: Lsn,
    tablespace: number,
    database: number,
    relation: number,
    fork: number,
    block: number,
  ): number {
    const at = this.#begin(messages.REQUEST_GET_PAGE, requestLsn, notModifiedSince);
    const { view } = this.#window;
    messages.writeNumber(view, messages.writeFork(view, at, tablespace, database, relation, fork), block);
    return this.#send(messages.REQUEST_GET_PAGE);
  }

  /** Asks whether there is such a fork. */
  requestExists(lsns: ReadLsns, relation: RelationLocator, fork: number): number {
    return this.#requestOfFork(messages.REQUEST_EXISTS, lsns, relation, fork);
  }

  /** Asks how many blocks a fork has. */
  requestBlockCount(lsns: ReadLsns, relation: RelationLocator, fork: number): number {
    return this.#requestOfFork(messages.REQUEST_NBLOCKS, lsns, relation, fork);
  }

  requestDatabaseSize({ requestLsn, notModifiedSince }: ReadLsns, database: number): number {
    const at = this.#begin(messages.REQUEST_DATABASE_SIZE, requestLsn, notModifiedSince);
    messages.writeNumber(this.#window.view, at, database);
    return this.#send(messages.REQUEST_DATABASE_SIZE);
  }

  /** @param kind SLRU_KIND_CLOG and its kin */
  requestSlruSegment({ requestLsn, notModifiedSince }: ReadLsns, kind: number, segment: number): number {
    const at = this.#begin(messages.REQUEST_SLRU_SEGMENT, requestLsn, notModifiedSince);
    messages.writeSlruSegment(this.#window.view, at, kind, segment);
    return this.#send(messages.REQUEST_SLRU_SEGMENT);
  }

  /** Sends what was asked for in this turn, now. */
  flush(): void {
    this.#opened.batch.flush();
  }

  /** Says goodbye, and resolves when the connection is gone. May be called again. */
  async close(): Promise<void> {
    this.flush();
    await this.#connection.close();
  }

  /** Lets go of the connection at once. The receiver is told this error. */
  abort(error: VarveError): void {
    this.#connection.abort(error);
  }

  get #opened(): { readonly copy: CopyStream; readonly batch: RequestBatch } {
    if (this.#stream === undefined) throw new AssertionError('a stream of pages is used before it is open');
    return this.#stream;
  }

  #requestOfFork(
    tag: number,
    { requestLsn, notModifiedSince }: ReadLsns,
    relation: RelationLocator,
    fork: number,
  ): number {
    const at = this.#begin(tag, requestLsn, notModifiedSince);
    messages.writeFork(
      this.#window.view,
      at,
      relation.tablespace,
      relation.database,
      relation.relation,
      fork,
    );
    return this.#send(tag);
  }

  /** Writes the beginning of a request into the window. Gives where the rest goes. */
  #begin(tag: number, requestLsn: Lsn, notModifiedSince: Lsn): number {
    if (this.#ending !== undefined) throw this.#ending;
    const id = this.#window.next;
    const offset = this.#window.add();
    return messages.writeRequestHeader(
      this.version,
      this.#window.view,
      offset,
      tag,
      id,
      requestLsn,
      notModifiedSince,
    );
  }

  /** Sends the request that was written into the window last. */
  #send(tag: number): number {
    const window = this.#window;
    const { batch } = this.#opened;
    batch.add(window.bytes, window.newestOffset, messages.requestBytes(this.version, tag));
    if (!this.#isFlushDue) {
      this.#isFlushDue = true;
      queueMicrotask(this.#flushDue);
    }
    return window.next - 1;
  }

  readonly #flushDue = (): void => {
    this.#isFlushDue = false;
    this.#opened.batch.flush();
  };

  #take(bytes: Uint8Array, offset: number, length: number, view: DataView): void {
    const { version } = this;
    const window = this.#window;
    const tag = messages.checkResponse(version, view, offset, length);
    if (window.count === 0) {
      throw new ProtocolError('UNEXPECTED_PAGE_RESPONSE', `a response ${tag} to no request`);
    }
    if (!messages.isResponseTo(version, view, offset, window.view, window.oldestOffset)) {
      throw new ProtocolError('CROSSED_PAGE_RESPONSE', `a response ${tag} is not that to the oldest request`);
    }
    const request = window.oldest;
    window.takeOldest();
    if (tag === messages.RESPONSE_GET_PAGE) {
      this.#receiver.onPage(request, bytes, offset + length - BLOCK_BYTES);
    } else if (tag === messages.RESPONSE_ERROR) {
      const text = messages.readErrorText(version, bytes, offset, length);
      this.#receiver.onRefused(request, new PageRequestError(text));
    } else {
      this.#receiver.onAnswer(request, readAnswer(version, tag, bytes, view, offset, length));
    }
  }

  #onEnd(end: CopyEnd): void {
    const error = end.kind === 'failed' ? end.error : streamEnded();
    this.#ending = error;
    // A service may end the connection, but never the stream alone.
    if (end.kind === 'done') this.#connection.abort(error as VarveError);
    this.#receiver.onEnd(error);
  }
}

function streamEnded(): VarveError {
  return new VarveError('unavailable', 'STREAM_ENDED', 'the page service has ended the stream');
}
