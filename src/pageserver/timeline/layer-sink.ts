import { AssertionError } from '../../base/errors.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import type { IngestSink } from '../ingest/ingest-sink.ts';
import type { OpenLayer } from '../layers/open-layer.ts';
import { VALUE_IMAGE, VALUE_NEEDS_NO_BASE, VALUE_POISON } from '../layers/value.ts';

const ALIGNMENT = 8;
const IMAGES_BYTES_AT_FIRST = 64 * 1024;
const NO_POSITION = -1;

const align = (position: number): number => position + ((ALIGNMENT - (position % ALIGNMENT)) % ALIGNMENT);

/**
 * Puts what ingest says into the open layer. The bytes of a batch of records are appended first, in one piece; images
 * and other small values are gathered while the batch is taken in, and appended behind it. Their places are known before, since nobody else
 * appends. Nobody looks at them before the batch is published.
 */
export class LayerSink implements IngestSink {
  #layer: OpenLayer | undefined;
  /** Where the record under work is in the layer's file, and how long it is. */
  #recordPosition = 0;
  #recordLength = 0;
  #lsn = 0;
  /** Where `#images` begins in the file. */
  #imagesPosition = 0;
  #images: Uint8Array = new Uint8Array(IMAGES_BYTES_AT_FIRST);
  #imagesLength = 0;
  /** Where the layer has a page of zeros. */
  #zeroPagePosition = NO_POSITION;

  /** Bytes of images that are not in the layer yet. */
  get pendingBytes(): number {
    return this.#imagesLength;
  }

  /** From now on values go into this layer. It may be the same as before. */
  enter(layer: OpenLayer): void {
    if (layer === this.#layer) return;
    if (this.#imagesLength > 0) throw new AssertionError('images were left out of the layer before');
    this.#layer = layer;
    this.#zeroPagePosition = NO_POSITION;
  }

  /** A batch has been appended: images come right behind. */
  begin(): void {
    this.#imagesPosition = align(this.#openLayer().fileBytes);
  }

  /** Which record the values that come now are of. */
  setRecord(lsn: number, position: number, length: number): void {
    this.#lsn = lsn;
    this.#recordPosition = position;
    this.#recordLength = length;
  }

  putRecord(stem: number, index: number, flags: number): void {
    this.#openLayer().put(stem, index, this.#lsn, this.#recordPosition, this.#recordLength, flags);
  }

  putVisibilityClears(stem: number, index: number, flags: number, bytes: Uint8Array, length: number): void {
    const start = this.#reserve(length);
    for (let at = 0; at < length; at++) this.#images[start + at] = bytes[at] as number;
    this.#openLayer().put(stem, index, this.#lsn, this.#imagesPosition + start, length, flags);
  }

  putImage(stem: number, index: number, bytes: Uint8Array): void {
    const position = this.#gather(bytes);
    this.#openLayer().put(stem, index, this.#lsn, position, bytes.length, VALUE_IMAGE);
  }

  putZeroPage(stem: number, index: number): void {
    if (this.#zeroPagePosition === NO_POSITION)
      this.#zeroPagePosition = this.#gather(new Uint8Array(BLOCK_BYTES));
    this.#openLayer().put(stem, index, this.#lsn, this.#zeroPagePosition, BLOCK_BYTES, VALUE_IMAGE);
  }

  putPoison(stem: number, index: number, text: Uint8Array): void {
    const position = this.#gather(text);
    this.#openLayer().put(stem, index, this.#lsn, position, text.length, VALUE_POISON | VALUE_NEEDS_NO_BASE);
  }

  /** Appends the images that were gathered. @throws VarveError ‘cancelled’ */
  async flush(): Promise<void> {
    if (this.#imagesLength > 0) {
      const length = this.#imagesLength;
      this.#imagesLength = 0;
      const position = await this.#openLayer().append(this.#images, 0, length);
      if (position !== this.#imagesPosition) {
        throw new AssertionError(`images went to ${position} instead of ${this.#imagesPosition}`);
      }
    }
    this.begin();
  }

  /** Returns the position that the bytes will have. */
  #gather(bytes: Uint8Array): number {
    const start = this.#reserve(bytes.length);
    this.#images.set(bytes, start);
    return this.#imagesPosition + start;
  }

  /** Returns where in `#images` so many bytes are to be written. */
  #reserve(length: number): number {
    const start = align(this.#imagesLength);
    const end = start + length;
    if (end > this.#images.length) {
      const bigger = new Uint8Array(Math.max(end, this.#images.length * 2));
      bigger.set(this.#images.subarray(0, this.#imagesLength));
      this.#images = bigger;
    }
    this.#imagesLength = end;
    return start;
  }

  #openLayer(): OpenLayer {
    if (this.#layer === undefined) throw new AssertionError('no layer is open');
    return this.#layer;
  }
}
