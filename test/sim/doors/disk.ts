import type { SeededRandom } from '../../support/seeded-random.ts';
import { DiskDirectory, type DiskEntry, filesBelow, NameJournal } from './disk-directory.ts';
import { diskError } from './disk-errors.ts';
import { DiskFaults } from './disk-faults.ts';
import { DiskFile, type PageAccount, type SurvivalOdds } from './disk-file.ts';
import { PAGE_BYTES, PageArena } from './pages.ts';

/**
 * What is left of the un-synced when the power goes: nothing, everything, or some sectors and some of the last
 * changes of names.
 */
export type Survival = 'nothing' | 'everything' | 'some';

/** A name in a directory, and what has that name. */
export interface DiskPlace {
  readonly directory: DiskDirectory;
  readonly name: string;
  readonly entry: DiskEntry | undefined;
}

/** The disk of a node with a file system on it. It outlives the node's processes. */
export class Disk implements PageAccount {
  readonly arena = new PageArena();
  readonly faults: DiskFaults;
  readonly names: NameJournal;
  /** What the file system could hold. Set it lower for a full disk. */
  capacityBytes = Number.MAX_SAFE_INTEGER;
  usedBytes = 0;
  readonly wallMs: () => number;
  readonly #root = new DiskDirectory();
  readonly #random: SeededRandom;
  readonly #paths = new Map<string, readonly string[]>();

  constructor(random: SeededRandom, wallMs: () => number) {
    this.#random = random;
    this.wallMs = wallMs;
    this.names = new NameJournal(wallMs);
    this.faults = new DiskFaults(random.fork());
  }

  takePage(): boolean {
    if (this.usedBytes + PAGE_BYTES > this.capacityBytes) return false;
    this.usedBytes += PAGE_BYTES;
    return true;
  }

  givePage(): void {
    this.usedBytes -= PAGE_BYTES;
  }

  /** Throws not-found or no-directory where a part above the last one is not there or no directory. */
  find(path: string): DiskPlace {
    const parts = this.#partsOf(path);
    let directory = this.#root;
    for (let index = 0; index < parts.length - 1; index++) {
      const entry = directory.entries.get(parts[index] as string);
      if (entry === undefined) throw diskError('not-found', path);
      if (entry instanceof DiskFile) throw diskError('no-directory', path);
      directory = entry;
    }
    const name = parts[parts.length - 1];
    if (name === undefined) return { directory, name: '', entry: directory };
    return { directory, name, entry: directory.entries.get(name) };
  }

  /** Whether there is something at this path. Throws no-directory where a part above the last one is a file. */
  has(path: string): boolean {
    let entry: DiskDirectory | DiskFile | undefined = this.#root;
    for (const part of this.#partsOf(path)) {
      if (entry === undefined) return false;
      if (entry instanceof DiskFile) throw diskError('no-directory', path);
      entry = entry.entries.get(part);
    }
    return entry !== undefined;
  }

  directoryAt(path: string): DiskDirectory {
    const { entry } = this.find(path);
    if (entry === undefined) throw diskError('not-found', path);
    if (entry instanceof DiskFile) throw diskError('no-directory', path);
    return entry;
  }

  makeFile(place: DiskPlace): DiskFile {
    const file = new DiskFile(this);
    file.uses = 1;
    this.names.link(place.directory, place.name, file);
    return file;
  }

  /** Makes a directory and those above it. */
  makeDirectory(path: string): void {
    let directory = this.#root;
    const parts = this.#partsOf(path);
    for (const [index, name] of parts.entries()) {
      let entry = directory.entries.get(name);
      if (entry instanceof DiskFile) {
        throw diskError(index === parts.length - 1 ? 'exists' : 'no-directory', path);
      }
      if (entry === undefined) {
        entry = new DiskDirectory();
        this.names.link(directory, name, entry);
      }
      directory = entry;
    }
  }

  /** As if it had been there for long: durable with those above it. */
  provideDirectory(path: string): void {
    this.makeDirectory(path);
    let directory = this.#root;
    for (const name of this.#partsOf(path)) {
      this.names.persist(directory);
      directory = directory.entries.get(name) as DiskDirectory;
    }
  }

  rename(from: string, to: string): void {
    const source = this.find(from);
    if (source.entry === undefined) throw diskError('not-found', from);
    const target = this.find(to);
    if (target.entry === source.entry) return;
    const isDirectory = source.entry instanceof DiskDirectory;
    if (target.entry instanceof DiskFile && isDirectory) throw diskError('no-directory', to);
    if (target.entry instanceof DiskDirectory) {
      if (!isDirectory) throw diskError('directory', to);
      if (target.entry.entries.size > 0) throw diskError('exists', to);
    }
    if (isDirectory && `${to}/`.startsWith(`${from}/`)) throw diskError('bad-path', to);
    this.names.rename(source.directory, source.name, target.directory, target.name);
    if (target.entry instanceof DiskFile) this.letGo(target.entry);
  }

  /** Gives a file another name beside its own. */
  link(from: string, to: string): void {
    const source = this.find(from);
    if (source.entry === undefined) throw diskError('not-found', from);
    if (source.entry instanceof DiskDirectory) throw diskError('no-permission', from);
    const target = this.find(to);
    if (target.entry !== undefined) throw diskError('exists', to);
    source.entry.uses++;
    this.names.link(target.directory, target.name, source.entry);
  }

  removeFile(path: string): void {
    const { directory, name, entry } = this.find(path);
    if (entry === undefined) throw diskError('not-found', path);
    if (entry instanceof DiskDirectory) throw diskError('directory', path);
    this.names.unlink(directory, name);
    this.letGo(entry);
  }

  /** Removes a directory with what is in it, or only `atMost` names of it. */
  removeDirectory(path: string, atMost = Number.POSITIVE_INFINITY): void {
    if (!this.has(path)) return;
    const { directory, name, entry } = this.find(path);
    if (entry === undefined) return;
    if (entry instanceof DiskFile) throw diskError('no-directory', path);
    this.#removeTree(directory, name, entry, { left: atMost });
  }

  /** One use of the file less: when it is the last, its space is free, though its durable name may come back. */
  letGo(file: DiskFile): void {
    if (--file.uses === 0) this.usedBytes -= file.pageCount * PAGE_BYTES;
  }

  /** All that was not durable is gone, or some of it. */
  losePower(survival?: Survival): void {
    const random = this.#random;
    const draw = random.fraction();
    const drawn = draw < 0.25 ? 'nothing' : draw < 0.5 ? 'everything' : 'some';
    const chances = { nothing: 0, everything: 1, some: random.fraction() } as const;
    const chance = chances[survival ?? drawn];
    this.names.losePower(random, chance);
    restoreNames(this.#root);
    const odds: SurvivalOdds = {
      sectorChance: chance,
      bitFlipChance: this.faults.bitFlipChance,
    };
    for (const file of this.#recount()) file.losePower(random, odds);
    this.#recount();
  }

  /** What was written is still there; open files are closed. */
  loseProcess(): void {
    for (const file of this.#recount()) file.loseProcess();
  }

  /** Nothing is open any more: counts names and pages anew. Returns the files that have names. */
  #recount(): Set<DiskFile> {
    const files = new Set(filesBelow(this.#root));
    this.usedBytes = 0;
    for (const file of files) {
      file.uses = 0;
      this.usedBytes += file.pageCount * PAGE_BYTES;
    }
    for (const file of filesBelow(this.#root)) file.uses++;
    return files;
  }

  #removeTree(parent: DiskDirectory, name: string, directory: DiskDirectory, budget: { left: number }): void {
    for (const [childName, child] of [...directory.entries]) {
      if (budget.left <= 0) return;
      if (child instanceof DiskDirectory) {
        this.#removeTree(directory, childName, child, budget);
      } else {
        budget.left--;
        this.names.unlink(directory, childName);
        this.letGo(child);
      }
    }
    if (budget.left-- > 0) this.names.unlink(parent, name);
  }

  #partsOf(path: string): readonly string[] {
    let parts = this.#paths.get(path);
    if (parts === undefined) {
      parts = path.split('/').filter((part) => part !== '' && part !== '.');
      if (parts.includes('..')) throw diskError('bad-path', path);
      this.#paths.set(path, parts);
    }
    return parts;
  }
}

function restoreNames(directory: DiskDirectory): void {
  directory.entries = new Map(directory.durableEntries);
  for (const entry of directory.entries.values()) {
    if (entry instanceof DiskDirectory) restoreNames(entry);
  }
}
