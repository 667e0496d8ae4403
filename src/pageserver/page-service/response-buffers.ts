import {
  ERROR_TEXT_BYTES_MAX,
  errorTextOffset,
  type PageProtocolVersion,
  payloadOffset,
  REQUEST_GET_PAGE,
  responseBytes,
  writeErrorResponse,
  writeResponseHeader,
} from '../../contracts/page-messages.ts';
import { COPY_DATA_TAG } from '../../libpq/copy-stream.ts';
import { Page } from '../../postgres/page/page.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import { MESSAGE_HEADER_BYTES } from '../../postgres/wire/framing.ts';
import { BATCH_REQUESTS_MAX, type PageBatch } from './page-batch.ts';

/** Buffers have room for so many pages. A client that asks for one at a time shall not hold memory for many. */
const SIZES: readonly number[] = [1, 8, BATCH_REQUESTS_MAX];
/** So many bytes of each size are kept for the next one, over all connections. */
const KEPT_BYTES_MAX = 8 * 1024 * 1024;

/**
 * The answers to a batch of requests for pages, as they will be sent: CopyData messages of one length one behind the
 * other, until `join` has drawn those together among which there is an error.
 */
export class ResponseBuffer {
  readonly version: PageProtocolVersion;
  /** Most answers that it has room for. */
  readonly size: number;
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #stride: number;
  /** Where the answers' pages are. */
  readonly pages: readonly Page[];
  readonly #lengths: Int32Array;
  #hasErrors = false;

  constructor(version: PageProtocolVersion, size: number) {
    this.version = version;
    this.size = size;
    this.#stride = MESSAGE_HEADER_BYTES + responseBytes(version, REQUEST_GET_PAGE);
    this.bytes = new Uint8Array(size * this.#stride);
    this.#view = new DataView(this.bytes.buffer);
    const pageOffset = MESSAGE_HEADER_BYTES + payloadOffset(version, REQUEST_GET_PAGE);
    this.pages = Array.from({ length: size }, (_, index) => {
      const start = index * this.#stride + pageOffset;
      return new Page(this.bytes.subarray(start, start + BLOCK_BYTES));
    });
    this.#lengths = new Int32Array(size);
  }

  /** The answer is the page that is, or will be, in `pages`. */
  answerPage(batch: PageBatch, request: number): void {
    const offset = request * this.#stride;
    this.#begin(request, this.#stride);
    writeResponseHeader(
      this.version,
      this.bytes,
      this.#view,
      offset + MESSAGE_HEADER_BYTES,
      batch.bytes,
      batch.view,
      batch.offsetOf(request),
    );
  }

  answerError(batch: PageBatch, request: number, text: string): void {
    const offset = request * this.#stride;
    const end = writeErrorResponse(
      this.version,
      this.bytes,
      this.#view,
      offset + MESSAGE_HEADER_BYTES,
      batch.bytes,
      batch.view,
      batch.offsetOf(request),
      text,
    );
    this.#begin(request, end - offset);
    this.#hasErrors = true;
  }

  /** The answers to the requests from `from` to `to` (exclusive), in one piece. To be called once for each. */
  join(from: number, to: number): Uint8Array {
    const start = from * this.#stride;
    let end = to * this.#stride;
    if (this.#hasErrors) {
      end = start;
      for (let request = from; request < to; request++) {
        const offset = request * this.#stride;
        const length = this.#lengths[request] as number;
        if (offset !== end) this.bytes.copyWithin(end, offset, offset + length);
        end += length;
      }
      this.#hasErrors = false;
    }
    return this.bytes.subarray(start, end);
  }

  /** CopyData's header. */
  #begin(request: number, lengthBytes: number): void {
    const offset = request * this.#stride;
    this.#view.setUint8(offset, COPY_DATA_TAG);
    this.#view.setInt32(offset + 1, lengthBytes - 1);
    this.#lengths[request] = lengthBytes;
  }
}

/** Buffers that are used again and again, by all connections of this thread. */
export class ResponseBuffers {
  readonly #free: Readonly<Record<PageProtocolVersion, readonly ResponseBuffer[][]>> = {
    2: SIZES.map(() => []),
    3: SIZES.map(() => []),
  };

  /** A buffer for the answers to so many requests. What is in it means nothing. */
  take(version: PageProtocolVersion, requests: number): ResponseBuffer {
    const index = requests <= 1 ? 0 : requests <= (SIZES[1] as number) ? 1 : 2;
    const free = this.#free[version][index] as ResponseBuffer[];
    return free.pop() ?? new ResponseBuffer(version, SIZES[index] as number);
  }

  /** It has been sent, and nobody uses it any more. */
  give(buffer: ResponseBuffer): void {
    const free = this.#free[buffer.version][SIZES.indexOf(buffer.size)] as ResponseBuffer[];
    if ((free.length + 1) * buffer.bytes.length <= KEPT_BYTES_MAX) free.push(buffer);
  }
}

/** A CopyData with the response to a batch's only request, and room for an answer of so many bytes. */
export function beginResponse(
  batch: PageBatch,
  payloadBytes: number,
): { readonly message: Uint8Array; readonly view: DataView; readonly payloadOffset: number } {
  const { version, tag } = batch;
  const message = new Uint8Array(MESSAGE_HEADER_BYTES + payloadOffset(version, tag) + payloadBytes);
  const view = new DataView(message.buffer);
  view.setUint8(0, COPY_DATA_TAG);
  view.setInt32(1, message.length - 1);
  const at = writeResponseHeader(
    version,
    message,
    view,
    MESSAGE_HEADER_BYTES,
    batch.bytes,
    batch.view,
    batch.offsetOf(0),
  );
  return { message, view, payloadOffset: at };
}

/** A CopyData with an error as the response to a batch's only request. */
export function errorResponse(batch: PageBatch, text: string): Uint8Array {
  const { version } = batch;
  const room = MESSAGE_HEADER_BYTES + errorTextOffset(version) + ERROR_TEXT_BYTES_MAX + 1;
  const message = new Uint8Array(room);
  const view = new DataView(message.buffer);
  const end = writeErrorResponse(
    version,
    message,
    view,
    MESSAGE_HEADER_BYTES,
    batch.bytes,
    batch.view,
    batch.offsetOf(0),
    text,
  );
  view.setUint8(0, COPY_DATA_TAG);
  view.setInt32(1, end - 1);
  return message.subarray(0, end);
}
