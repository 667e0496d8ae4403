import type { Page } from '../../src/postgres/page/page.ts';
import type { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import type { RecordSample, SampledPage } from '../golden/record-samples.ts';

interface OpenSample extends Omit<RecordSample, 'pages'> {
  readonly pages: SampledPage[];
}

/** Longer records are no good examples. */
const RECORD_BYTES_MAX = 20_000;

/**
 * Keeps the first few records of each form, with the pages that they changed. Records of one kind are of different
 * forms where they name other blocks: the visibility map or not, with images to apply or not, to be made anew or not.
 */
export class SampleCollector {
  readonly #perForm: number;
  readonly #samples: OpenSample[] = [];
  readonly #counts = new Map<string, number>();
  #open: OpenSample | undefined;

  constructor(perForm: number) {
    this.#perForm = perForm;
  }

  /** Called for each record before its pages. */
  record(record: DecodedRecord, kind: string, hintBitsAreLogged: boolean): void {
    this.#open = undefined;
    const form = `${kind} ${formOf(record)}`;
    const count = this.#counts.get(form) ?? 0;
    if (count >= this.#perForm || record.totalLength > RECORD_BYTES_MAX) return;
    this.#counts.set(form, count + 1);
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

/** For each block reference: its number, its fork, and how its page comes about. */
function formOf(record: DecodedRecord): string {
  let form = '';
  for (let blockId = 0; blockId < record.blockCount; blockId++) {
    if (!record.hasBlock(blockId)) continue;
    const origin = record.appliesImage(blockId) ? 'i' : record.willInitialize(blockId) ? 'n' : 'b';
    form += `${blockId}${origin}${record.blockFork[blockId]} `;
  }
  return form;
}
