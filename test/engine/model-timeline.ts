import type { TimelineId } from '../../src/base/ids.ts';
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { encodeRecord, type RecordToWrite } from '../../src/postgres/wal/record-writer.ts';
import { WalWriter } from '../../src/postgres/wal/wal-writer.ts';
import { MODEL_SEGMENT_BYTES, MODEL_START, MODEL_SYSTEM } from './model-cluster.ts';

/** Where a record begins and ends. */
export interface ModelRecord {
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
}

/** Where a branch leaves its parent: behind this record. */
export interface ModelBranchPoint extends ModelRecord {
  readonly parent: ModelTimeline;
}

interface Version {
  readonly lsn: number;
  /** undefined: from here on there is no such thing. */
  readonly value: Uint8Array | number | undefined;
}

/**
 * What a timeline is, in the plainest way there is: its WAL, and everything that was ever under a name, with the LSN from
 * which on it was so. A branch looks into its parent for what it has not changed itself.
 */
export class ModelTimeline {
  readonly id: TimelineId;
  branchPoint: ModelBranchPoint | undefined;
  /** It has no ancestor any more, though all is as it was there. */
  isDetached = false;
  /** As far as what it had of its ancestor was forgotten there. */
  forgottenLsn = 0;
  readonly records: ModelRecord[] = [];
  /** When each commit ended, with its time in microseconds since 2000; ascending by both. */
  readonly commits: { readonly endLsn: Lsn; readonly micros: number }[] = [];
  readonly #versions = new Map<string, Version[]>();
  readonly #writer: WalWriter;
  #written: Uint8Array = new Uint8Array(0);
  /** What somebody was told of: WAL below may be gone wherever else it was. */
  remoteConsistentLsn = 0;

  constructor(id: TimelineId, branchPoint?: ModelBranchPoint) {
    this.id = id;
    this.branchPoint = branchPoint;
    this.#writer = new WalWriter({
      version: POSTGRES_17,
      systemIdentifier: MODEL_SYSTEM,
      timelineId: 1,
      segmentBytes: MODEL_SEGMENT_BYTES,
      startLsn: branchPoint?.endLsn ?? MODEL_START,
      previousLsn: branchPoint?.startLsn ?? 0,
    });
  }

  /** Nothing below can be asked for. */
  get initialLsn(): Lsn {
    return this.isDetached ? MODEL_START : this.#ownStart;
  }

  get lastLsn(): Lsn {
    return this.records.at(-1)?.endLsn ?? this.#ownStart;
  }

  /** What it descends from now. */
  get parent(): ModelTimeline | undefined {
    return this.isDetached ? undefined : this.branchPoint?.parent;
  }

  get #ownStart(): Lsn {
    return this.branchPoint?.endLsn ?? MODEL_START;
  }

  /** What it has of its ancestor is its own, of which only what is not forgotten can be asked for. */
  detach(forgottenLsn: number): void {
    this.isDetached = true;
    this.forgottenLsn = forgottenLsn;
  }

  /** It descends from another timeline that has the same up to there. */
  moveTo(parent: ModelTimeline): void {
    this.branchPoint = { ...(this.branchPoint as ModelBranchPoint), parent };
  }

  /** Writes a record at the end of the WAL, and gives it as replay gets it. */
  append(parts: RecordToWrite): DecodedRecord {
    const bytes = encodeRecord(parts, this.#writer.previousLsn);
    const { startLsn, endLsn } = this.#writer.appendBytes(bytes);
    this.records.push({ startLsn, endLsn });
    this.#written = new Uint8Array(0);
    const record = new DecodedRecord(POSTGRES_17);
    record.decode(bytes, new DataView(bytes.buffer, bytes.byteOffset), 0, bytes.length, startLsn, endLsn);
    return record;
  }

  /** All WAL from an LSN on. */
  walFrom(lsn: number): Uint8Array {
    if (this.#written.length === 0) this.#written = this.#writer.take();
    return this.#written.subarray(lsn - this.#writer.baseLsn);
  }

  get walEnd(): Lsn {
    return this.#writer.position;
  }

  /** At the end of the last record, or where the timeline begins, something has changed. */
  set(name: string, value: Version['value']): void {
    const versions = this.#versions.get(name) ?? [];
    this.#versions.set(name, versions);
    if (versions.at(-1)?.lsn === this.lastLsn) versions.pop();
    versions.push({ lsn: this.lastLsn, value });
  }

  at(name: string, lsn: number = this.lastLsn): Version['value'] {
    const version = this.#versions.get(name)?.findLast((candidate) => candidate.lsn <= lsn);
    if (version !== undefined) return version.value;
    const { branchPoint } = this;
    return branchPoint?.parent.at(name, Math.min(lsn, branchPoint.endLsn));
  }

  bytesAt(name: string, lsn?: number): Uint8Array | undefined {
    return this.at(name, lsn) as Uint8Array | undefined;
  }

  numberAt(name: string, lsn?: number): number | undefined {
    return this.at(name, lsn) as number | undefined;
  }

  /** The last record that ends at or below an LSN, the parents' among them. */
  recordBefore(lsn: number): ModelRecord | undefined {
    const own = this.records.findLast(({ endLsn }) => endLsn <= lsn);
    if (own !== undefined) return own;
    const { branchPoint } = this;
    return branchPoint?.parent.recordBefore(Math.min(lsn, branchPoint.endLsn));
  }

  /** All commits that the timeline sees, the parents' among them. */
  allCommits(): readonly { readonly endLsn: Lsn; readonly micros: number }[] {
    const { branchPoint } = this;
    if (branchPoint === undefined) return this.commits;
    return [
      ...branchPoint.parent.allCommits().filter(({ endLsn }) => endLsn <= branchPoint.endLsn),
      ...this.commits,
    ];
  }

  /** An LSN of the history from `lowest` on; often the end of a record. @param place from 0 to 1 */
  pickLsn(place: number, lowest: number): Lsn {
    const low = Math.max(lowest, this.initialLsn);
    const lsn = Math.floor(low + place * (this.lastLsn - low));
    if (lsn % 3 === 0) return toLsn(lsn);
    return toLsn(Math.max(low, this.recordBefore(lsn)?.endLsn ?? low));
  }
}
