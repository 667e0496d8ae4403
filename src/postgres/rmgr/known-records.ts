import { resourceManagers } from './resource-managers.ts';

/** By resource manager and the high four bits of the info byte: 1 where there is such a record. */
const known: Uint8Array = (() => {
  const table = new Uint8Array(256 * 16);
  for (const manager of resourceManagers) {
    for (let kind = 0; kind < 16; kind++) {
      if (manager.kindName(kind << 4) !== undefined) table[manager.id * 16 + kind] = 1;
    }
  }
  return table;
})();

/**
 * Whether this version of PostgreSQL has such a record, and Varve its replay. Costs one look into a table.
 * @param resourceManager 0 to 255
 * @param info the record's info byte, whose low four bits do not matter
 */
export function isKnownRecord(resourceManager: number, info: number): boolean {
  return known[resourceManager * 16 + (info >> 4)] === 1;
}
