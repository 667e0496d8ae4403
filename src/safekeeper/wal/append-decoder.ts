import { CorruptionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { WalReader } from '../../postgres/wal/wal-reader.ts';

/** Decodes what is to be written, and refuses everything after what it has refused once. */
export class AppendDecoder {
  #reader: WalReader | undefined;
  #refusal: Error | undefined;

  /** Whether it has a reader, which knows where in the WAL it is. */
  get isReady(): boolean {
    return this.#reader !== undefined;
  }

  get hasRefused(): boolean {
    return this.#refusal !== undefined;
  }

  /** Goes on where this reader is. */
  begin(reader: WalReader): void {
    this.#reader = reader;
    this.#refusal = undefined;
  }

  /** Lets go of the reader, and of the memory that it has. */
  sleep(): void {
    this.#reader = undefined;
  }

  checkNotRefused(): void {
    if (this.#refusal !== undefined) throw this.#refusal;
  }

  /**
   * Decodes the bytes that end at `endLsn`, and returns the end of the last record that is whole with them; `before` if
   * there is no further one.
   * @throws CorruptionError for damage, and for zeros where a record should be
   */
  decode(bytes: Uint8Array, start: number, length: number, endLsn: Lsn, before: Lsn): Lsn {
    const reader = this.#reader as WalReader;
    let recordLsn: number = before;
    try {
      reader.feed(bytes, start, start + length);
      while (reader.next()) {
        if (reader.endLsn <= endLsn) recordLsn = reader.endLsn;
      }
      const { end } = reader;
      if (end !== undefined) {
        throw new CorruptionError('BAD_WAL', 'there are zeros where a record should be', { lsn: end.lsn });
      }
    } catch (error) {
      this.#reader = undefined;
      this.#refusal = error as Error;
      throw error;
    }
    // A switch, the rest of whose segment has come by now.
    if (reader.endLsn > recordLsn && reader.endLsn <= endLsn) recordLsn = reader.endLsn;
    return recordLsn as Lsn;
  }
}
