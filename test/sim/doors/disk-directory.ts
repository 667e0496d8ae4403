import type { SeededRandom } from '../../support/seeded-random.ts';
import { DiskFile } from './disk-file.ts';

export type DiskEntry = DiskFile | DiskDirectory;

/** A directory: its names now, and its names if the power went. */
export class DiskDirectory {
  entries = new Map<string, DiskEntry>();
  durableEntries = new Map<string, DiskEntry>();
  modifiedMs = 0;
}

/** A change of names that is not durable yet: in `target`, and for a rename to another directory in `source` too. */
interface NameChange {
  readonly target: DiskDirectory;
  readonly source: DiskDirectory;
  readonly apply: () => void;
}

/**
 * Changes of names in the order in which they were made. Each directory keeps its own order and knows nothing of the
 * others, but a rename from one into another is durable in both or in none.
 */
export class NameJournal {
  readonly #wallMs: () => number;
  #pending: NameChange[] = [];

  constructor(wallMs: () => number) {
    this.#wallMs = wallMs;
  }

  link(directory: DiskDirectory, name: string, entry: DiskEntry): void {
    directory.entries.set(name, entry);
    const apply = (): void => {
      directory.durableEntries.set(name, entry);
    };
    this.#add({ target: directory, source: directory, apply });
  }

  unlink(directory: DiskDirectory, name: string): void {
    directory.entries.delete(name);
    const apply = (): void => {
      directory.durableEntries.delete(name);
    };
    this.#add({ target: directory, source: directory, apply });
  }

  rename(source: DiskDirectory, sourceName: string, target: DiskDirectory, name: string): void {
    const entry = source.entries.get(sourceName) as DiskEntry;
    source.entries.delete(sourceName);
    target.entries.set(name, entry);
    const apply = (): void => {
      source.durableEntries.delete(sourceName);
      target.durableEntries.set(name, entry);
    };
    this.#add({ target, source, apply });
  }

  /**
   * Makes durable what was changed in this directory, and what must be durable with it: earlier changes of directories
   * that a rename ties to it.
   */
  persist(directory: DiskDirectory): void {
    const affected = new Set([directory]);
    const kept: NameChange[] = [];
    const applied: NameChange[] = [];
    for (let index = this.#pending.length - 1; index >= 0; index--) {
      const change = this.#pending[index] as NameChange;
      if (affected.has(change.target) || affected.has(change.source)) {
        affected.add(change.target).add(change.source);
        applied.push(change);
      } else {
        kept.push(change);
      }
    }
    for (const change of applied.reverse()) change.apply();
    this.#pending = kept.reverse();
  }

  #add(change: NameChange): void {
    change.target.modifiedMs = change.source.modifiedMs = this.#wallMs();
    this.#pending.push(change);
  }

  /** The power is gone: of each directory's changes a prefix is left, each further one with this probability. */
  losePower(random: SeededRandom, keepChance: number): void {
    const stopped = new Set<DiskDirectory>();
    for (const { target, source, apply } of this.#pending) {
      if (!stopped.has(target) && !stopped.has(source) && random.chance(keepChance)) apply();
      else stopped.add(target).add(source);
    }
    this.#pending = [];
  }
}

/** All files below a directory, by the names that it has now: a file with two names comes twice. */
export function* filesBelow(directory: DiskDirectory): Generator<DiskFile> {
  for (const entry of directory.entries.values()) {
    if (entry instanceof DiskFile) yield entry;
    else yield* filesBelow(entry);
  }
}
