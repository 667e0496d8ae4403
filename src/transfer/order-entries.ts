import { BadRequestError } from '../base/errors.ts';
import { ENTRY_KINDS, nameOf, type SchemaEntry } from './schema-entry.ts';

const RANKS: ReadonlyMap<string, number> = new Map(ENTRY_KINDS.map((kind, rank) => [kind, rank]));

/**
 * Puts what is needed before what needs it; where that leaves a choice, by kind, and as given.
 * @param needs the keys of the entries that an entry needs; others do not count
 * @throws BadRequestError DEPENDENCY_LOOP, with the names
 */
export function orderEntries(
  entries: readonly SchemaEntry[],
  needs: (entry: SchemaEntry) => Iterable<string>,
): SchemaEntry[] {
  const places = new Map(entries.map((entry, place) => [entry.key, place]));
  const waitsFor = new Int32Array(entries.length);
  const dependents: number[][] = entries.map(() => []);
  for (const [place, entry] of entries.entries()) {
    for (const key of new Set(needs(entry))) {
      const other = places.get(key);
      if (other === undefined || other === place) continue;
      waitsFor[place]++;
      (dependents[other] as number[]).push(place);
    }
  }
  // One queue for each kind, of which the first that has any goes on.
  const ready: number[][] = ENTRY_KINDS.map(() => []);
  const offer = (place: number): void => {
    ready[RANKS.get((entries[place] as SchemaEntry).kind) as number]?.push(place);
  };
  for (const place of entries.keys()) if (waitsFor[place] === 0) offer(place);
  const ordered: SchemaEntry[] = [];
  for (;;) {
    const place = ready.find((queue) => queue.length > 0)?.shift();
    if (place === undefined) break;
    ordered.push(entries[place] as SchemaEntry);
    for (const dependent of dependents[place] as number[]) {
      waitsFor[dependent]--;
      if (waitsFor[dependent] === 0) offer(dependent);
    }
  }
  if (ordered.length === entries.length) return ordered;
  const left = entries.filter((_, place) => (waitsFor[place] as number) > 0);
  const names = left.slice(0, 10).map(nameOf).join(', ');
  throw new BadRequestError(
    'DEPENDENCY_LOOP',
    `these need one another, and cannot be made one after another: ${names}${left.length > 10 ? ', …' : ''}`,
  );
}
