import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { RM_DBASE, RM_XACT, RM_XLOG } from '../../src/postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { RECORD_RESOURCE_MANAGER } from '../../src/postgres/wal/record-header.ts';
import { formatSegmentName, segmentNumber } from '../../src/postgres/wal/segment-name.ts';
import { WalReader } from '../../src/postgres/wal/wal-reader.ts';
import { effectsOf } from '../../src/redo/effects/effects-of.ts';

const PIECE_BYTES = 256 * 1024;
const POSTGRES_TIMELINE = 1;

export interface RecordPlace {
  readonly startLsn: number;
  readonly endLsn: number;
}

interface CheckpointPlace extends RecordPlace {
  readonly redo: number;
}

export interface WalLogOptions {
  readonly directory: string;
  readonly segmentBytes: number;
  readonly startLsn: number;
}

/** What is to be known of a server's WAL beside storage: where its records are, and what is prepared at each LSN. */
export class WalLog {
  readonly #options: WalLogOptions;
  readonly #reader: WalReader;
  readonly #record = new DecodedRecord(POSTGRES_17);
  readonly #piece = new Uint8Array(PIECE_BYTES);
  #starts = new Float64Array(1 << 16);
  #ends = new Float64Array(1 << 16);
  #count = 0;
  readonly #checkpoints: CheckpointPlace[] = [];
  /** Copies of the files of whole databases: a server must not replay one twice. */
  readonly #copies: number[] = [];
  readonly #prepared: { endLsn: number; xid: number; content: Uint8Array | undefined }[] = [];

  constructor(options: WalLogOptions) {
    this.#options = options;
    const { segmentBytes, startLsn } = options;
    this.#reader = new WalReader({ version: POSTGRES_17, segmentBytes, startLsn, file: options.directory });
  }

  get records(): number {
    return this.#count;
  }

  /** All below has been read. */
  get position(): number {
    return this.#reader.position;
  }

  /** End of the last record. */
  get endLsn(): number {
    return this.#count === 0 ? this.#options.startLsn : (this.#ends[this.#count - 1] as number);
  }

  /** Reads on, up to `lsn` or to where nothing has been written. */
  advance(lsn: number): void {
    const reader = this.#reader;
    const { directory, segmentBytes } = this.#options;
    while (reader.position < lsn && reader.end === undefined) {
      const offset = reader.position % segmentBytes;
      const wanted = Math.min(PIECE_BYTES, segmentBytes - offset, lsn - reader.position);
      const name = formatSegmentName(
        POSTGRES_TIMELINE,
        segmentNumber(reader.position, segmentBytes),
        segmentBytes,
      );
      const descriptor = openSync(join(directory, name), 'r');
      try {
        const count = readSync(descriptor, this.#piece, 0, wanted, offset);
        if (count === 0) throw new Error(`${name} ends at ${offset}`);
        reader.feed(this.#piece, 0, count);
      } finally {
        closeSync(descriptor);
      }
      while (reader.next()) this.#note();
    }
  }

  /** The last record that ends at or below `lsn`. */
  recordBefore(lsn: number): RecordPlace | undefined {
    const number = this.recordNumber(lsn);
    return number < 0 ? undefined : this.#placeAt(number);
  }

  /** Where the record behind the one that ends at `endLsn` ends; `endLsn` where there is none yet. */
  nextEnd(endLsn: number): number {
    const next = this.recordNumber(endLsn) + 1;
    return next < this.#count ? (this.#ends[next] as number) : endLsn;
  }

  /** Of the last record that ends at or below `lsn`; -1 where there is none. */
  recordNumber(lsn: number): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ends[middle] as number) <= lsn) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  place(number: number): RecordPlace {
    if (number < 0 || number >= this.#count) throw new Error(`there is no record ${number}`);
    return this.#placeAt(number);
  }

  /**
   * Whether a server that recovers up to `lsn`, and did so before up to `previousLsn`, writes all that it has in memory
   * when it stops (CreateRestartPoint does nothing but where there is a checkpoint that it has not used yet), and
   * whether it can go on from there later on.
   */
  isStoppingPoint(previousLsn: number, lsn: number): boolean {
    const checkpoint = this.checkpointBefore(lsn);
    const previous = this.checkpointBefore(previousLsn);
    if (checkpoint === undefined || checkpoint.redo <= (previous?.redo ?? this.#options.startLsn))
      return false;
    return !this.#copies.some((copy) => copy >= checkpoint.redo && copy < lsn);
  }

  /** The last checkpoint whose record ends at or below `lsn`. */
  checkpointBefore(lsn: number): CheckpointPlace | undefined {
    return this.#checkpoints.findLast(({ endLsn }) => endLsn <= lsn);
  }

  /** What is prepared after all records up to `lsn`, by xid. */
  preparedAt(lsn: number): Map<number, Uint8Array> {
    const prepared = new Map<number, Uint8Array>();
    for (const { endLsn, xid, content } of this.#prepared) {
      if (endLsn > lsn) break;
      if (content === undefined) prepared.delete(xid);
      else prepared.set(xid, content);
    }
    return prepared;
  }

  #placeAt(number: number): RecordPlace {
    return { startLsn: this.#starts[number] as number, endLsn: this.#ends[number] as number };
  }

  #note(): void {
    const { startLsn, endLsn, workspace, recordOffset } = this.#reader;
    if (this.#count === this.#ends.length) {
      this.#starts = doubled(this.#starts);
      this.#ends = doubled(this.#ends);
    }
    this.#starts[this.#count] = startLsn;
    this.#ends[this.#count] = endLsn;
    this.#count++;
    const manager = workspace.bytes[recordOffset + RECORD_RESOURCE_MANAGER];
    if (manager === RM_XACT || manager === RM_XLOG || manager === RM_DBASE)
      this.#noteEffects(startLsn, endLsn);
  }

  #noteEffects(startLsn: number, endLsn: number): void {
    this.#reader.decode(this.#record);
    for (const effect of effectsOf(this.#record)) {
      if (effect.kind === 'checkpoint') {
        this.#checkpoints.push({ startLsn, endLsn, redo: effect.checkPoint.redo });
      } else if (effect.kind === 'database-copy') this.#copies.push(startLsn);
      else if (effect.kind === 'prepared-put') {
        this.#prepared.push({ endLsn, xid: effect.xid, content: effect.content.slice() });
      } else if (effect.kind === 'prepared-remove') {
        this.#prepared.push({ endLsn, xid: effect.xid, content: undefined });
      }
    }
  }
}

function doubled(array: Float64Array): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(array.length * 2);
  larger.set(array);
  return larger;
}
