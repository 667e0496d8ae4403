import type { TableData } from './schema-entry.ts';
import type { TransferEvents } from './transfer-events.ts';

/** Each table counts by its size in the source's files, and by how many of the rows that it may have are there. */
export class CopyProgress {
  readonly #events: TransferEvents;
  readonly #totalBytes: number;
  #doneBytes = 0;
  /** Of tables that are being copied: rows of each. */
  readonly #running = new Map<TableData, number>();
  rows = 0;
  bytes = 0;
  tables = 0;

  constructor(events: TransferEvents, tables: readonly TableData[]) {
    this.#events = events;
    this.#totalBytes = tables.reduce((sum, { bytesEstimate }) => sum + bytesEstimate, 0);
  }

  copied(table: TableData, rows: number, bytes: number): void {
    this.rows += rows;
    this.bytes += bytes;
    this.#running.set(table, (this.#running.get(table) ?? 0) + rows);
    this.#events.onCopied({ rows: this.rows, bytes: this.bytes, part: this.#part(), table: table.table });
  }

  done(table: TableData): void {
    this.#running.delete(table);
    this.#doneBytes += table.bytesEstimate;
    this.tables++;
  }

  #part(): number {
    let bytes = this.#doneBytes;
    for (const [{ rowsEstimate, bytesEstimate }, rows] of this.#running) {
      // A table that was never analyzed is half done while it goes on.
      const part = rowsEstimate === undefined || rowsEstimate === 0 ? 0.5 : Math.min(1, rows / rowsEstimate);
      bytes += part * bytesEstimate;
    }
    return this.#totalBytes === 0 ? 1 : Math.min(1, bytes / this.#totalBytes);
  }
}
