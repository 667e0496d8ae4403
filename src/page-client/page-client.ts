import { AssertionError, VarveError } from '../base/errors.ts';
import * as messages from '../contracts/page-messages.ts';
import type { RelationLocator } from '../postgres/files/relation-locator.ts';
import type { SlruName } from '../postgres/files/slru.ts';
import { BLOCK_BYTES } from '../postgres/wal/record-header.ts';
import {
  connectPageService,
  type PageServiceDoors,
  type PageServiceOptions,
} from './connect-page-service.ts';
import type { PageAnswer } from './page-answer.ts';
import { PageStream, type PageStreamOptions, type ReadLsns } from './page-stream.ts';

/** What a caller that has given up is told. Its answer still comes, and is thrown away. */
const givenUp = (): VarveError => new VarveError('cancelled', 'CANCELLED', 'the caller has given up');

/** The SLRUs of which a page service has segments, by what it calls them. */
const SLRU_KINDS: Readonly<Record<Exclude<SlruName, 'commit-timestamp'>, number>> = {
  clog: messages.SLRU_KIND_CLOG,
  'multixact-members': messages.SLRU_KIND_MULTIXACT_MEMBERS,
  'multixact-offsets': messages.SLRU_KIND_MULTIXACT_OFFSETS,
};

interface Waiting {
  /** Where a page goes. */
  readonly target: Uint8Array | undefined;
  readonly resolve: (answer: PageAnswer | undefined) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Pages and sizes of one timeline, each as a promise. Any number may be asked for at once.
 *
 * Each method rejects with PageRequestError for what the service refuses, `cancelled` / CANCELLED once its signal is
 * given, and what the stream ends of, which ends the client.
 */
export class PageClient implements AsyncDisposable {
  readonly #waiting = new Map<number, Waiting>();
  #opened: PageStream | undefined;

  private constructor() {}

  /** Connects and begins a stream. @throws as connectPageService, PageStream.open */
  static async connect(
    doors: PageServiceDoors,
    options: PageServiceOptions & PageStreamOptions,
  ): Promise<PageClient> {
    const client = new PageClient();
    const connection = await connectPageService(doors, options);
    try {
      client.#opened = await PageStream.open(connection, options, {
        onPage: (request, bytes, offset) => client.#onPage(request, bytes, offset),
        onAnswer: (request, answer) => client.#take(request).resolve(answer),
        onRefused: (request, error) => client.#take(request).reject(error),
        onEnd: (error) => client.#onEnd(error),
      });
      return client;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  get stream(): PageStream {
    if (this.#opened === undefined) throw new AssertionError('a client of pages is used before it is open');
    return this.#opened;
  }

  /** The page, in `target` where that is given. Behind the fork's end pages are zero. */
  async page(
    { requestLsn, notModifiedSince }: ReadLsns,
    { tablespace, database, relation }: RelationLocator,
    fork: number,
    block: number,
    { target = new Uint8Array(BLOCK_BYTES), signal }: { target?: Uint8Array; signal?: AbortSignal } = {},
  ): Promise<Uint8Array> {
    if (target.length !== BLOCK_BYTES)
      throw new AssertionError(`a page does not go in ${target.length} bytes`);
    await this.#ask(
      () =>
        this.stream.requestPage(requestLsn, notModifiedSince, tablespace, database, relation, fork, block),
      signal,
      target,
    );
    return target;
  }

  async exists(
    lsns: ReadLsns,
    relation: RelationLocator,
    fork: number,
    signal?: AbortSignal,
  ): Promise<boolean> {
    const answer = await this.#ask(() => this.stream.requestExists(lsns, relation, fork), signal);
    return expectKind(answer, 'exists').exists;
  }

  async blockCount(
    lsns: ReadLsns,
    relation: RelationLocator,
    fork: number,
    signal?: AbortSignal,
  ): Promise<number> {
    const answer = await this.#ask(() => this.stream.requestBlockCount(lsns, relation, fork), signal);
    return expectKind(answer, 'block-count').blocks;
  }

  /** Bytes of all relations of a database in the default tablespace. */
  async databaseSize(lsns: ReadLsns, database: number, signal?: AbortSignal): Promise<number> {
    const answer = await this.#ask(() => this.stream.requestDatabaseSize(lsns, database), signal);
    return expectKind(answer, 'database-size').sizeBytes;
  }

  /** The pages of a segment, one after another. */
  async slruSegment(
    lsns: ReadLsns,
    slru: keyof typeof SLRU_KINDS,
    segment: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const ask = (): number => this.stream.requestSlruSegment(lsns, SLRU_KINDS[slru], segment);
    return expectKind(await this.#ask(ask, signal), 'slru-segment').pages;
  }

  /** Whoever still waits is told that it is closed. May be called again. */
  close(): Promise<void> {
    return this.stream.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #ask(
    send: () => number,
    signal: AbortSignal | undefined,
    target?: Uint8Array,
  ): Promise<PageAnswer | undefined> {
    if (signal?.aborted === true) throw givenUp();
    const request = send();
    const { promise, resolve, reject } = Promise.withResolvers<PageAnswer | undefined>();
    this.#waiting.set(request, { target, resolve, reject });
    if (signal === undefined) return await promise;
    const giveUp = (): void => {
      // The answer has a place in the order all the same, but nobody's memory is written to.
      this.#waiting.set(request, { target: undefined, resolve, reject });
      reject(givenUp());
    };
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  #onPage(request: number, bytes: Uint8Array, offset: number): void {
    const { target, resolve } = this.#take(request);
    target?.set(bytes.subarray(offset, offset + BLOCK_BYTES));
    resolve(undefined);
  }

  #take(request: number): Waiting {
    const waiting = this.#waiting.get(request);
    if (waiting === undefined) throw new AssertionError(`nobody waits for the answer to request ${request}`);
    this.#waiting.delete(request);
    return waiting;
  }

  #onEnd(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

function expectKind<Kind extends PageAnswer['kind']>(
  answer: PageAnswer | undefined,
  kind: Kind,
): Extract<PageAnswer, { kind: Kind }> {
  if (answer?.kind === kind) return answer as Extract<PageAnswer, { kind: Kind }>;
  throw new AssertionError(`an answer is ${answer?.kind ?? 'a page'} where ${kind} was asked for`);
}
