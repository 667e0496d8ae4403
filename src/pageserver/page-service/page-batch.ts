import { copyBytes } from '../../base/bytes.ts';
import { AssertionError } from '../../base/errors.ts';
import {
  type PageProtocolVersion,
  REQUEST_BYTES_MAX,
  REQUEST_GET_PAGE,
  readNotModifiedSince,
  readRequestLsn,
} from '../../contracts/page-messages.ts';

/** So many requests for pages are read together at most. */
export const BATCH_REQUESTS_MAX = 32;
/** A request's place. */
const SLOT_BYTES: number = Math.ceil(REQUEST_BYTES_MAX / 8) * 8;

/** Consecutive requests of one stream that are answered together: for pages, or a single one of another kind. */
export class PageBatch {
  readonly version: PageProtocolVersion;
  /** The messages, request `n` from `offsetOf(n)` on. */
  readonly bytes: Uint8Array = new Uint8Array(BATCH_REQUESTS_MAX * SLOT_BYTES);
  readonly view: DataView = new DataView(this.bytes.buffer);
  count = 0;
  /** Of all its requests. */
  tag = 0;
  /** When the first one came, by the monotonic clock. */
  startMs = 0;

  constructor(version: PageProtocolVersion) {
    this.version = version;
  }

  get isFull(): boolean {
    return this.count > 0 && (this.tag !== REQUEST_GET_PAGE || this.count >= BATCH_REQUESTS_MAX);
  }

  offsetOf(request: number): number {
    return request * SLOT_BYTES;
  }

  /** Whether a request with this tag can go with those that are here. */
  takes(tag: number): boolean {
    return this.count === 0 || (tag === this.tag && !this.isFull);
  }

  /** Adds a request, copied, that has been checked. */
  add(tag: number, bytes: Uint8Array, view: DataView, offset: number, length: number): void {
    if (!this.takes(tag)) throw new AssertionError(`request ${tag} is added to ${this.count} of ${this.tag}`);
    copyBytes(this.bytes, this.view, this.offsetOf(this.count), bytes, view, offset, length);
    this.tag = tag;
    this.count++;
  }

  /** @throws BadRequestError LSN_TOO_LARGE */
  requestLsn(request: number): number {
    return readRequestLsn(this.version, this.view, this.offsetOf(request));
  }

  /** @throws BadRequestError LSN_TOO_LARGE */
  notModifiedSince(request: number): number {
    return readNotModifiedSince(this.version, this.view, this.offsetOf(request));
  }
}
