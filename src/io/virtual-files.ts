import { DescriptorSlots } from './descriptor-slots.ts';
import { isAtOrBelow, NameChanges } from './file-names.ts';
import type { FileStatus, FileSystemSpace, Files, ReadableFile, UpdatableFile } from './files.ts';
import {
  FileCounts,
  type VirtualFilesState,
  VirtualReadableFile,
  VirtualUpdatableFile,
} from './virtual-file.ts';

export interface VirtualFilesOptions {
  /** How many descriptors may be open at once: at least two for each that an open file of the inner door takes. */
  readonly maxDescriptors: number;
  /** How many an open file of the inner door takes at most; one, if not given. */
  readonly descriptorsPerFile?: number;
}

/** For metrics. */
export interface VirtualFilesCounts extends Readonly<FileCounts> {
  /** Descriptors that are open, or about to be. */
  readonly descriptorsOpen: number;
  /** Descriptors that were closed since others were needed more. */
  readonly evicted: number;
  /** How often something had to wait for a descriptor. */
  readonly waits: number;
}

/**
 * A files door through which any number of files may be open, while descriptors are few.
 *
 * A file that is open for reading has a descriptor while an operation on it is under way, and after that until another
 * needs it: the one that was used least recently goes. It is then opened again by its name. So all renaming and removing
 * must go through this door, too, which keeps a file's name up to date; one whose name is removed while it is open keeps
 * its descriptor until it is closed.
 *
 * A file that is open for updating keeps its descriptor until it is closed: the operating system reports a write that it
 * could not carry out to a descriptor that was open when it happened, and to no later one for sure. Of these there may
 * be three quarters of all; the others are for reading alone, so that reading always goes on.
 *
 * Where all descriptors are in use, opening and reading wait until one is not. Nothing else ends this waiting, and only
 * closing files ends the waiting of `openForUpdate`: there must be more descriptors than files that are updated at once.
 */
export class VirtualFiles implements Files {
  readonly #state: VirtualFilesState;
  readonly #descriptorsPerFile: number;
  /** The files that are open for reading, by their names now. */
  readonly #open = new Map<string, Set<VirtualReadableFile>>();

  constructor(files: Files, options: VirtualFilesOptions) {
    this.#descriptorsPerFile = options.descriptorsPerFile ?? 1;
    const slots = new DescriptorSlots(Math.floor(options.maxDescriptors / this.#descriptorsPerFile));
    this.#state = { files, slots, names: new NameChanges(), counts: new FileCounts() };
  }

  get counts(): VirtualFilesCounts {
    const { slots, counts } = this.#state;
    return {
      ...counts,
      descriptorsOpen: slots.taken * this.#descriptorsPerFile,
      evicted: slots.evicted,
      waits: slots.waits,
    };
  }

  stat(path: string): Promise<FileStatus> {
    return this.#state.files.stat(path);
  }

  list(directory: string): Promise<string[]> {
    return this.#withDescriptor(() => this.#state.files.list(directory));
  }

  async open(path: string): Promise<ReadableFile> {
    const file = new VirtualReadableFile(this.#state, path, (closed) => this.#forget(closed));
    this.#enter(file);
    try {
      await file.begin();
    } catch (error) {
      this.#forget(file);
      throw error;
    }
    return file;
  }

  create(path: string, content: Uint8Array): Promise<void> {
    return this.#withDescriptor(() => this.#state.files.create(path, content));
  }

  async openForUpdate(path: string): Promise<UpdatableFile> {
    const { files, slots, counts } = this.#state;
    await slots.take(true);
    try {
      const inner = await files.openForUpdate(path);
      counts.opened++;
      return new VirtualUpdatableFile(this.#state, inner);
    } catch (error) {
      slots.give(true);
      throw error;
    }
  }

  rename(from: string, to: string): Promise<void> {
    const { files, names } = this.#state;
    return names.run([from, to], async () => {
      const moving = this.#filesBelow(from);
      // A directory gives way only when it is empty.
      const losing = from === to ? [] : this.#filesAt(to);
      await this.#settle(moving);
      await this.#keep(losing);
      await files.rename(from, to);
      if (from === to) return;
      for (const file of losing) this.#forget(file);
      for (const file of moving) {
        this.#forget(file);
        file.moveTo(to + file.currentPath.slice(from.length));
        this.#enter(file);
      }
    });
  }

  link(from: string, to: string): Promise<void> {
    return this.#state.files.link(from, to);
  }

  remove(path: string): Promise<void> {
    return this.#removeNames(
      path,
      () => this.#filesAt(path),
      () => this.#state.files.remove(path),
    );
  }

  makeDirectory(path: string): Promise<void> {
    return this.#state.files.makeDirectory(path);
  }

  removeDirectory(path: string): Promise<void> {
    return this.#removeNames(
      path,
      () => this.#filesBelow(path),
      () => this.#withDescriptor(() => this.#state.files.removeDirectory(path)),
    );
  }

  syncDirectory(path: string): Promise<void> {
    this.#state.counts.syncs++;
    return this.#withDescriptor(() => this.#state.files.syncDirectory(path));
  }

  space(path: string): Promise<FileSystemSpace> {
    return this.#state.files.space(path);
  }

  #removeNames(path: string, find: () => VirtualReadableFile[], remove: () => Promise<void>): Promise<void> {
    return this.#state.names.run([path], async () => {
      const losing = find();
      await this.#keep(losing);
      await remove();
      for (const file of losing) this.#forget(file);
    });
  }

  async #withDescriptor<Result>(action: () => Promise<Result>): Promise<Result> {
    const { slots } = this.#state;
    await slots.take(false);
    try {
      return await action();
    } finally {
      slots.give(false);
    }
  }

  async #settle(files: readonly VirtualReadableFile[]): Promise<void> {
    await Promise.all(files.map((file) => file.settleOpening()));
  }

  async #keep(files: readonly VirtualReadableFile[]): Promise<void> {
    await this.#settle(files);
    for (const file of files) await file.keep();
  }

  #filesAt(path: string): VirtualReadableFile[] {
    return [...(this.#open.get(path) ?? [])];
  }

  #filesBelow(path: string): VirtualReadableFile[] {
    const found: VirtualReadableFile[] = [];
    for (const [name, files] of this.#open) if (isAtOrBelow(name, path)) found.push(...files);
    return found;
  }

  #enter(file: VirtualReadableFile): void {
    let files = this.#open.get(file.currentPath);
    if (files === undefined) {
      files = new Set();
      this.#open.set(file.currentPath, files);
    }
    files.add(file);
  }

  #forget(file: VirtualReadableFile): void {
    const files = this.#open.get(file.currentPath);
    if (files === undefined) return;
    files.delete(file);
    if (files.size === 0) this.#open.delete(file.currentPath);
  }
}
