import { type Lsn, toLsn } from '../../../src/base/lsn.ts';
import { RM_LOGICAL_MESSAGE } from '../../../src/postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../../../src/postgres/versions/version.ts';
import { WalWriter } from '../../../src/postgres/wal/wal-writer.ts';
import { TEST_SEGMENT_BYTES, TEST_SYSTEM } from '../../support/safekeeper-wal.ts';

/** The WAL that one server has written, from where it was started. It may still grow. */
export class ServerWal {
  readonly server: number;
  readonly startLsn: Lsn;
  endLsn: Lsn;
  #previousLsn: number;
  #bytes: Uint8Array = new Uint8Array(64 * 1024);
  /** Start of each record, by where it ends. */
  readonly #starts = new Map<number, number>();
  #records = 0;

  /**
   * @param server a number that no other server has; it stands in its records
   * @param previousLsn start of the last record before
   */
  constructor(server: number, startLsn: Lsn, previousLsn: number) {
    this.server = server;
    this.startLsn = startLsn;
    this.endLsn = startLsn;
    this.#previousLsn = previousLsn;
  }

  /** Writes records of so many bytes each, beside their headers. */
  write(lengths: readonly number[]): void {
    const writer = new WalWriter({
      version: POSTGRES_17,
      systemIdentifier: TEST_SYSTEM,
      timelineId: 1,
      segmentBytes: TEST_SEGMENT_BYTES,
      startLsn: this.endLsn,
      previousLsn: this.#previousLsn,
    });
    for (const length of lengths) {
      const mainData = new Uint8Array(8 + length).fill((this.server * 31 + this.#records) & 0xff);
      const view = new DataView(mainData.buffer);
      view.setUint32(0, this.server);
      view.setUint32(4, this.#records++);
      const { startLsn, endLsn } = writer.append({ resourceManager: RM_LOGICAL_MESSAGE, info: 0, mainData });
      this.#starts.set(endLsn, startLsn);
    }
    this.#previousLsn = writer.previousLsn;
    this.#append(writer.take().subarray(this.endLsn - writer.baseLsn));
  }

  /** A view of what was written; valid until more is. */
  bytes(fromLsn: number, toLsnExclusive: number): Uint8Array {
    return this.#bytes.subarray(fromLsn - this.startLsn, toLsnExclusive - this.startLsn);
  }

  /** Start of the record that ends here; undefined where none does. */
  recordStart(endLsn: number): number | undefined {
    return this.#starts.get(endLsn);
  }

  #append(bytes: Uint8Array): void {
    const used = this.endLsn - this.startLsn;
    if (used + bytes.length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(used + bytes.length, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, used));
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, used);
    this.endLsn = toLsn(this.endLsn + bytes.length);
  }
}
