import { AssertionError, VarveError } from '../base/errors.ts';
import type { Lsn } from '../base/lsn.ts';
import { cancelledError } from '../io/cancelled.ts';
import { pause, RetryDelay } from '../io/retry-delay.ts';
import { PageClient } from '../page-client/page-client.ts';
import type { RelationLocator } from '../postgres/files/relation-locator.ts';
import type { SlruName } from '../postgres/files/slru.ts';
import { BLOCK_BYTES } from '../postgres/wal/record-header.ts';
import type { ComputeDoors, ComputeOptions } from './options.ts';
import { pageServiceOptions } from './page-service-options.ts';

const RETRY = { minMs: 20, maxMs: 1000 };

export type BlockHistory = 'untouched' | 'given-back';

/** Where the pages of a cluster come from that its start set leaves out. */
export interface PageSource {
  /**
   * Fills `target` with `count` blocks of a fork from `block` on, zero behind its end, with checksums where the cluster has
   * them.
   * @param history what the server may have done to them: nothing since the start, unless it has had them and given them
   *   back
   */
  readPages(
    relation: RelationLocator,
    fork: number,
    block: number,
    count: number,
    target: Uint8Array,
    signal: AbortSignal,
    history?: BlockHistory,
  ): Promise<void>;
  /** All pages of a segment. */
  readSlruSegment(slru: SlruName, segment: number, signal: AbortSignal): Promise<Uint8Array>;
}

/**
 * From a page service, as of one LSN, over one connection. Where that is lost, or the service is away, it is asked again until
 * it answers: a server that reads a page has nothing else that it could do.
 */
export class PageServiceSource implements PageSource, AsyncDisposable {
  readonly #options: ComputeOptions;
  readonly #startLsn: Lsn;
  #lsn: Lsn;
  readonly #doors: ComputeDoors;
  readonly #life = new AbortController();
  #client: Promise<PageClient> | undefined;

  constructor(options: ComputeOptions, lsn: Lsn, doors: ComputeDoors) {
    this.#options = options;
    this.#startLsn = lsn;
    this.#lsn = lsn;
    this.#doors = doors;
  }

  /** At which pages are read. */
  get lsn(): Lsn {
    return this.#lsn;
  }

  /** From now on pages are read at another LSN, at which those that are asked for are the same. */
  moveTo(lsn: Lsn): void {
    this.#lsn = lsn;
  }

  /** Connects before there is anything to read. What that fails of is the first read's to find out. */
  connectAhead(): void {
    this.#connect().catch(() => undefined);
  }

  readPages(
    relation: RelationLocator,
    fork: number,
    block: number,
    count: number,
    target: Uint8Array,
    signal: AbortSignal,
    history: BlockHistory = 'untouched',
  ): Promise<void> {
    // A pageserver that has started anew may have less than it had: what the server has changed it must not answer for.
    const notModifiedSince = history === 'given-back' ? this.#lsn : this.#startLsn;
    const lsns = { requestLsn: this.#lsn, notModifiedSince };
    return this.#patiently(signal, async (client) => {
      const pages: Promise<Uint8Array>[] = [];
      for (let index = 0; index < count; index++) {
        const page = target.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
        pages.push(client.page(lsns, relation, fork, block + index, { target: page, signal }));
      }
      await allSettled(pages);
    });
  }

  readSlruSegment(slru: SlruName, segment: number, signal: AbortSignal): Promise<Uint8Array> {
    // The page service's protocol has no number for them; start sets bring them whole.
    if (slru === 'commit-timestamp')
      throw new AssertionError('commit timestamps are read from a page service');
    const lsns = { requestLsn: this.#lsn, notModifiedSince: this.#startLsn };
    return this.#patiently(signal, (client) => client.slruSegment(lsns, slru, segment, signal));
  }

  /** Whoever still waits is told that it is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort();
    const client = this.#client;
    this.#client = undefined;
    try {
      await (await client)?.close();
    } catch (error) {
      // It was not connected, or not any more.
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
    }
  }

  async #patiently<Result>(
    signal: AbortSignal,
    action: (client: PageClient) => Promise<Result>,
  ): Promise<Result> {
    const { clock, random, logger } = this.#doors;
    const retry = new RetryDelay(RETRY, random);
    const either = AbortSignal.any([signal, this.#life.signal]);
    for (;;) {
      if (either.aborted) throw cancelledError(either);
      const connecting = this.#connect();
      try {
        return await action(await connecting);
      } catch (error) {
        const isPassing = error instanceof VarveError && error.kind === 'unavailable';
        if (!isPassing || either.aborted) throw error;
        // Whoever finds out first lets go of it for all.
        if (this.#client === connecting) this.#client = undefined;
        logger.warn('The pageserver has not given a page, and is asked again', { reason: error.message });
      }
      await pause(clock, retry.nextMs(), either);
    }
  }

  #connect(): Promise<PageClient> {
    const { tenantId, timelineId } = this.#options;
    this.#client ??= PageClient.connect(this.#doors, {
      ...pageServiceOptions(this.#options, this.#life.signal),
      tenantId,
      timelineId,
    });
    return this.#client;
  }
}

/** Waits for all of them, so that none writes into memory that is used for something else, and throws what the first failed of. */
async function allSettled(promises: readonly Promise<unknown>[]): Promise<void> {
  const outcomes = await Promise.allSettled(promises);
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
