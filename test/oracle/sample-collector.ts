import type { Page } from '../../src/postgres/page/page.ts';
import type { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import type { RecordSample, SampledPage } from '../golden/record-samples.ts';

interface OpenSample extends Omit<RecordSample, 'pages'> {
  readonly pages: SampledPage[];
}

/** Longer records are no good examples. */
const RECORD_BYTES_MAX = 20_000;

/** Keeps the first few records of each kind, with the pages that they changed. */
export class SampleCollector {
  readonly #perKind: number;
  readonly #samples: OpenSample[] = [];
  readonly #counts = new Map<string, number>();
  #open: OpenSample | undefined;

  constructor(perKind: number) {
    this.#perKind = perKind;
  }

  /** Called for each record before its pages. */
  record(record: DecodedRecord, kind: string, hintBitsAreLogged: boolean): void {
    this.#open = undefined;
    const count = this.#counts.get(kind) ?? 0;
    if (count >= this.#perKind || record.totalLength > RECORD_BYTES_MAX) return;
    this.#counts.set(kind, count + 1);
    this.#open = {
      kind,
      startLsn: record.startLsn,
      endLsn: record.endLsn,
      hintBitsAreLogged,
      bytes: record.bytes.slice(record.offset, record.offset + record.totalLength),
      pages: [],
    };
    this.#samples.push(this.#open);
  }

  /** Called for each page that the record was replayed on. */
  page(blockId: number, before: Page, after: Page): void {
    this.#open?.pages.push({ blockId, before: before.bytes.slice(), after: after.bytes.slice() });
  }

  samples(): readonly RecordSample[] {
    return this.#samples;
  }
}
