import { AssertionError } from '../base/errors.ts';
import type { Lsn } from '../base/lsn.ts';
import type { PageClient } from '../page-client/page-client.ts';
import type { RelationLocator } from '../postgres/files/relation-locator.ts';
import type { SlruName } from '../postgres/files/slru.ts';
import { BLOCK_BYTES } from '../postgres/wal/record-header.ts';

/** Where the pages of a cluster come from that its start set leaves out. */
export interface PageSource {
  /**
   * Fills `target` with `count` blocks of a fork from `block` on, zero behind its end, with checksums where the cluster has
   * them.
   */
  readPages(
    relation: RelationLocator,
    fork: number,
    block: number,
    count: number,
    target: Uint8Array,
    signal: AbortSignal,
  ): Promise<void>;
  /** All pages of a segment. */
  readSlruSegment(slru: SlruName, segment: number, signal: AbortSignal): Promise<Uint8Array>;
}

/** From a page service, as of one LSN. */
export class PageServiceSource implements PageSource {
  readonly #client: PageClient;
  readonly #lsn: Lsn;

  constructor(client: PageClient, lsn: Lsn) {
    this.#client = client;
    this.#lsn = lsn;
  }

  async readPages(
    relation: RelationLocator,
    fork: number,
    block: number,
    count: number,
    target: Uint8Array,
    signal: AbortSignal,
  ): Promise<void> {
    const lsns = { requestLsn: this.#lsn, notModifiedSince: this.#lsn };
    const pages: Promise<Uint8Array>[] = [];
    for (let index = 0; index < count; index++) {
      const page = target.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
      pages.push(this.#client.page(lsns, relation, fork, block + index, { target: page, signal }));
    }
    await Promise.all(pages);
  }

  async readSlruSegment(slru: SlruName, segment: number, signal: AbortSignal): Promise<Uint8Array> {
    // The page service's protocol has no number for them; start sets bring them whole.
    if (slru === 'commit-timestamp')
      throw new AssertionError('commit timestamps are read from a page service');
    const lsns = { requestLsn: this.#lsn, notModifiedSince: this.#lsn };
    return await this.#client.slruSegment(lsns, slru, segment, signal);
  }
}
