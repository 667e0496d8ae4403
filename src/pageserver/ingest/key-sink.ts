import type { Key } from '../keyspace/key.ts';
import type { Stems } from '../layers/stems.ts';
import type { IngestSink } from './ingest-sink.ts';

/** An IngestSink for code that is not hot: images by key. To be used for one record. */
export class KeySink {
  readonly #stems: Stems;
  readonly #sink: IngestSink;

  constructor(stems: Stems, sink: IngestSink) {
    this.#stems = stems;
    this.#sink = sink;
  }

  put(key: Key, bytes: Uint8Array): void {
    const stem = this.#stems.intern(key.kind, key.field2, key.field3, key.field4, key.field5);
    this.#sink.putImage(stem, key.index, bytes);
  }
}
