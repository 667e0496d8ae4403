import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { imageBytes, kindName, resourceManagerName } from './record-text.ts';

const KINDS_PER_MANAGER = 16;
const MANAGERS = 256;

export interface KindRow {
  readonly resourceManager: string;
  readonly kind: string;
  records: number;
  /** Without full-page images. */
  recordBytes: number;
  imageBytes: number;
}

/** Counts records and their bytes by kind. */
export class RecordStatistics {
  readonly #records: Float64Array = new Float64Array(MANAGERS * KINDS_PER_MANAGER);
  readonly #totalBytes: Float64Array = new Float64Array(MANAGERS * KINDS_PER_MANAGER);
  readonly #imageBytes: Float64Array = new Float64Array(MANAGERS * KINDS_PER_MANAGER);

  add(record: DecodedRecord): void {
    const index = record.resourceManager * KINDS_PER_MANAGER + (record.info >>> 4);
    this.#records[index] = (this.#records[index] as number) + 1;
    this.#totalBytes[index] = (this.#totalBytes[index] as number) + record.totalLength;
    this.#imageBytes[index] = (this.#imageBytes[index] as number) + imageBytes(record);
  }

  /** A row for each kind that there was, the largest first. */
  rows(): KindRow[] {
    const rows = new Map<string, KindRow>();
    for (let index = 0; index < this.#records.length; index++) {
      const records = this.#records[index] as number;
      if (records === 0) continue;
      const resourceManager = Math.floor(index / KINDS_PER_MANAGER);
      const name = resourceManagerName(resourceManager);
      const kind = kindName(resourceManager, (index % KINDS_PER_MANAGER) << 4);
      // Bits that say something else than the kind give several numbers one name.
      const row = rows.get(`${name} ${kind}`) ?? emptyRow(name, kind);
      rows.set(`${name} ${kind}`, row);
      row.records += records;
      row.imageBytes += this.#imageBytes[index] as number;
      row.recordBytes += (this.#totalBytes[index] as number) - (this.#imageBytes[index] as number);
    }
    return [...rows.values()].sort((a, b) => bytesOf(b) - bytesOf(a) || b.records - a.records);
  }
}

const emptyRow = (resourceManager: string, kind: string): KindRow => ({
  resourceManager,
  kind,
  records: 0,
  recordBytes: 0,
  imageBytes: 0,
});

const bytesOf = (row: KindRow): number => row.recordBytes + row.imageBytes;

export function sumRows(rows: readonly KindRow[]): KindRow {
  const sum = emptyRow('Total', '');
  for (const row of rows) {
    sum.records += row.records;
    sum.recordBytes += row.recordBytes;
    sum.imageBytes += row.imageBytes;
  }
  return sum;
}

/** The rows and their sum as the lines of a table. */
export function statisticsLines(rows: readonly KindRow[]): string[] {
  const sum = sumRows(rows);
  const percent = (part: number, whole: number): string =>
    whole === 0 ? '' : ((100 * part) / whole).toFixed(2);
  const cells = [...rows, sum].map((row) => [
    `${row.resourceManager}${row.kind === '' ? '' : `/${row.kind}`}`,
    String(row.records),
    percent(row.records, sum.records),
    String(row.recordBytes),
    percent(row.recordBytes, sum.recordBytes),
    String(row.imageBytes),
    percent(row.imageBytes, sum.imageBytes),
    String(bytesOf(row)),
    percent(bytesOf(row), bytesOf(sum)),
  ]);
  cells.unshift(['Type', 'N', '(%)', 'Record size', '(%)', 'FPI size', '(%)', 'Combined size', '(%)']);
  const widths = (cells[0] as string[]).map((_, column) =>
    Math.max(...cells.map((row) => (row[column] as string).length)),
  );
  return cells.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] as number) : cell.padStart(widths[column] as number),
      )
      .join('  '),
  );
}
