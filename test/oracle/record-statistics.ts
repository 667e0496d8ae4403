import { getResourceManager } from '../../src/postgres/rmgr/resource-managers.ts';
import type { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';

export interface KindStatistics {
  readonly resourceManager: string;
  readonly kind: string;
  records: number;
  /** Pages that were compared with what the record says replay must give. */
  pages: number;
  mismatches: number;
}

/** Counts, for each record kind, the records seen, the pages compared and the mismatches. */
export class RecordStatistics {
  readonly #byInfo: (KindStatistics | undefined)[] = [];
  readonly #byName = new Map<string, KindStatistics>();

  /** The row that a record counts in. */
  of(record: DecodedRecord): KindStatistics {
    const index = record.resourceManager * 256 + record.info;
    const known = this.#byInfo[index];
    if (known !== undefined) return known;
    const manager = getResourceManager(record.resourceManager, record.info, record.startLsn);
    const kind = manager.kindName(record.info) ?? `info ${(record.info & 0xf0).toString(16)}`;
    const name = `${manager.name} ${kind}`;
    let row = this.#byName.get(name);
    if (row === undefined) {
      row = { resourceManager: manager.name, kind, records: 0, pages: 0, mismatches: 0 };
      this.#byName.set(name, row);
    }
    this.#byInfo[index] = row;
    return row;
  }

  rows(): KindStatistics[] {
    return [...this.#byName.values()];
  }

  has(resourceManager: string, kind: string): boolean {
    return this.#byName.has(`${resourceManager} ${kind}`);
  }
}
