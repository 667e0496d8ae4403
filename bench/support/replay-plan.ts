import { maxAlign } from '../../src/postgres/page/page.ts';
import { getResourceManager } from '../../src/postgres/rmgr/resource-managers.ts';
import { getPostgresVersion } from '../../src/postgres/versions/version.ts';
import { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { WalReader } from '../../src/postgres/wal/wal-reader.ts';
import type { PageTable } from './page-table.ts';
import type { Recording } from './recording.ts';

/** Steps in a row that are of one kind: [start, end) in the plan's order. */
export interface Batch {
  readonly kind: number;
  readonly start: number;
  readonly end: number;
}

/**
 * All steps of a replay (a record on one of its blocks), put into an order in which steps of one kind come in long
 * rows, so that the clock need not be read around each. That changes nothing, since a page depends on no other: only
 * the order of the steps of one page has to stay.
 */
export class ReplayPlan {
  readonly kinds: string[] = [];
  readonly batches: Batch[] = [];
  readonly records: number;
  /** Index of a step in each place of the order. */
  readonly order: Int32Array;
  readonly stepPage: Int32Array;
  readonly #stepBlock: Uint8Array;
  readonly #stepKind: Uint8Array;
  readonly #stepOffset: Uint32Array;
  readonly #stepLength: Uint32Array;
  readonly #stepStart: Float64Array;
  readonly #stepEnd: Float64Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  /** Reads `wal`, and loads the pages that it names into `table`. */
  constructor(wal: Uint8Array, recording: Recording, table: PageTable) {
    const record = new DecodedRecord(getPostgresVersion(17));
    const { segmentBytes, startLsn } = recording;
    const reader = new WalReader({ version: record.version, segmentBytes, startLsn });
    const kindIndex = new Map<string, number>();
    const steps: number[][] = [[], [], [], [], [], [], []];
    const [pages, blocks, kinds, offsets, lengths, starts, ends] = steps as [
      number[],
      number[],
      number[],
      number[],
      number[],
      number[],
      number[],
    ];
    this.#bytes = new Uint8Array(wal.length + 8);
    this.#view = new DataView(this.#bytes.buffer);
    let records = 0;
    let position = 0;
    reader.feed(wal);
    while (reader.next()) {
      reader.decode(record);
      records++;
      for (let blockId = 0; blockId < record.blockCount; blockId++) {
        if (!record.hasBlock(blockId)) continue;
        const name = nameKind(record, blockId);
        let kind = kindIndex.get(name);
        if (kind === undefined) {
          kind = this.kinds.push(name) - 1;
          kindIndex.set(name, kind);
        }
        pages.push(table.load(record, blockId));
        blocks.push(blockId);
        kinds.push(kind);
        offsets.push(position);
        lengths.push(record.totalLength);
        starts.push(record.startLsn);
        ends.push(record.endLsn);
      }
      this.#bytes.set(record.bytes.subarray(record.offset, record.offset + record.totalLength), position);
      position += maxAlign(record.totalLength);
    }
    this.records = records;
    this.stepPage = Int32Array.from(pages);
    this.#stepBlock = Uint8Array.from(blocks);
    this.#stepKind = Uint8Array.from(kinds);
    this.#stepOffset = Uint32Array.from(offsets);
    this.#stepLength = Uint32Array.from(lengths);
    this.#stepStart = Float64Array.from(starts);
    this.#stepEnd = Float64Array.from(ends);
    this.order = new Int32Array(pages.length);
    this.#arrange(table.pages.length);
  }

  /** Decodes a step's record and returns its block. */
  decode(step: number, record: DecodedRecord): number {
    record.decode(
      this.#bytes,
      this.#view,
      this.#stepOffset[step] as number,
      this.#stepLength[step] as number,
      this.#stepStart[step] as number,
      this.#stepEnd[step] as number,
    );
    return this.#stepBlock[step] as number;
  }

  /** Again and again takes the kind that the most pages wait for, and all steps of it that they have next. */
  #arrange(pageCount: number): void {
    const count = this.stepPage.length;
    const nextStep = new Int32Array(count).fill(-1);
    const lastStep = new Int32Array(pageCount).fill(-1);
    const waiting: number[][] = this.kinds.map(() => []);
    for (let step = 0; step < count; step++) {
      const page = this.stepPage[step] as number;
      const last = lastStep[page] as number;
      if (last < 0) waiting[this.#stepKind[step] as number]?.push(step);
      else nextStep[last] = step;
      lastStep[page] = step;
    }
    for (let place = 0; place < count; ) {
      let kind = 0;
      for (let other = 1; other < waiting.length; other++) {
        if ((waiting[other]?.length ?? 0) > (waiting[kind]?.length ?? 0)) kind = other;
      }
      const start = place;
      for (const first of waiting[kind]?.splice(0) ?? []) {
        let step = first;
        while (step >= 0 && this.#stepKind[step] === kind) {
          this.order[place++] = step;
          step = nextStep[step] as number;
        }
        if (step >= 0) waiting[this.#stepKind[step] as number]?.push(step);
      }
      this.batches.push({ kind, start, end: place });
    }
  }
}

function nameKind(record: DecodedRecord, blockId: number): string {
  if (record.appliesImage(blockId)) return 'full-page image';
  const manager = getResourceManager(record.resourceManager, record.info, record.startLsn);
  return `${manager.name} ${manager.kindName(record.info) ?? record.info.toString(16)}`;
}
