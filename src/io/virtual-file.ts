import { AssertionError, VarveError } from '../base/errors.ts';
import type { DescriptorSlots, SlotHolder } from './descriptor-slots.ts';
import type { NameChanges } from './file-names.ts';
import type { Files, ReadableFile, UpdatableFile } from './files.ts';

/** What was done with files, for metrics. */
export class FileCounts {
  /** Descriptors that were opened, again and again for one file. */
  opened = 0;
  reads = 0;
  bytesRead = 0;
  writes = 0;
  bytesWritten = 0;
  syncs = 0;
}

/** What the files of one door share. */
export interface VirtualFilesState {
  readonly files: Files;
  readonly slots: DescriptorSlots;
  readonly names: NameChanges;
  readonly counts: FileCounts;
}

/**
 * A file that is open for reading, with a descriptor or, while others need it more, without one. It is opened again by
 * its name, which follows what the door renames.
 */
export class VirtualReadableFile implements ReadableFile, SlotHolder {
  readonly path: string;
  readonly #state: VirtualFilesState;
  readonly #onClosed: (file: VirtualReadableFile) => void;
  /** Its name now. */
  #currentPath: string;
  #sizeBytes = 0;
  #inner: ReadableFile | undefined;
  /** Somebody waits for a descriptor; all others who need it wait with it. */
  #opening: Promise<ReadableFile> | undefined;
  /** The operating system is looking at the name. */
  #looking: Promise<ReadableFile> | undefined;
  #givingBack: Promise<void> | undefined;
  #uses = 0;
  /** It has lost its name, or is about to: it could not be opened again. */
  #isKept = false;
  #closed: Promise<void> | undefined;
  /** It is closed, and nothing is under way any more. */
  #isReleased = false;
  #onUnused: (() => void) | undefined;

  constructor(state: VirtualFilesState, path: string, onClosed: (file: VirtualReadableFile) => void) {
    this.path = path;
    this.#currentPath = path;
    this.#state = state;
    this.#onClosed = onClosed;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get currentPath(): string {
    return this.#currentPath;
  }

  /** Opens it for the first time. @throws as Files.open */
  async begin(): Promise<void> {
    this.#use();
    try {
      this.#sizeBytes = (await this.#getInner()).sizeBytes;
    } finally {
      this.#stopUsing();
    }
  }

  async read(target: Uint8Array, start: number, length: number, position: number): Promise<number> {
    this.#use();
    try {
      const inner = this.#inner ?? (await this.#getInner());
      const count = await inner.read(target, start, length, position);
      this.#count(count);
      return count;
    } finally {
      this.#stopUsing();
    }
  }

  readNow(target: Uint8Array, start: number, length: number, position: number): number {
    this.#assertOpen();
    const inner = this.#inner;
    if (inner === undefined) return -1;
    if (this.#uses === 0 && !this.#isKept) this.#state.slots.markIdle(this);
    const count = inner.readNow(target, start, length, position);
    if (count >= 0) this.#count(count);
    return count;
  }

  close(): Promise<void> {
    this.#closed ??= this.#closeWhenUnused();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  giveBack(): Promise<void> {
    const inner = this.#inner;
    this.#inner = undefined;
    this.#givingBack = this.#closeQuietly(inner);
    return this.#givingBack;
  }

  /** A change of its name has begun: resolves when no opening by the old one is under way. */
  async settleOpening(): Promise<void> {
    // Whoever opens it gets to know what it fails of.
    if (this.#looking !== undefined) await Promise.allSettled([this.#looking]);
  }

  moveTo(path: string): void {
    this.#currentPath = path;
  }

  /**
   * Its name is about to be gone: from now on it keeps its descriptor until it is closed.
   * @throws VarveError ‘unavailable’ / FILE_IO, if too many do
   */
  async keep(): Promise<void> {
    if (this.#isKept || this.#isReleased) return;
    const { slots } = this.#state;
    slots.keep(this.#currentPath);
    this.#isKept = true;
    this.#uses++;
    slots.markBusy(this);
    try {
      if (this.#inner === undefined) await this.#openKept();
    } catch (error) {
      this.#isKept = false;
      slots.unkeep();
      // Somebody else has removed it. Whoever reads it gets to know.
      if (!(error instanceof VarveError && error.kind === 'not-found')) throw error;
    } finally {
      this.#stopUsing();
    }
  }

  /** The name that is about to change is still that of the file. */
  async #openKept(): Promise<void> {
    const { slots } = this.#state;
    await slots.take(false);
    try {
      await this.#look();
    } catch (error) {
      slots.give(false);
      throw error;
    }
  }

  #getInner(): Promise<ReadableFile> {
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #open(): Promise<ReadableFile> {
    const { slots, names } = this.#state;
    for (;;) {
      await slots.take(false);
      const rest = this.#inner === undefined ? names.rest(this.#currentPath) : undefined;
      if (rest === undefined) break;
      // Whoever changes the name may need a slot.
      slots.give(false);
      await rest;
    }
    if (this.#inner !== undefined) {
      slots.give(false);
      return this.#inner;
    }
    try {
      return await this.#look();
    } catch (error) {
      slots.give(false);
      throw error;
    }
  }

  async #look(): Promise<ReadableFile> {
    this.#looking = this.#state.files.open(this.#currentPath);
    try {
      this.#inner = await this.#looking;
    } finally {
      this.#looking = undefined;
    }
    this.#state.counts.opened++;
    return this.#inner;
  }

  #use(): void {
    this.#assertOpen();
    if (this.#uses++ === 0) this.#state.slots.markBusy(this);
  }

  #stopUsing(): void {
    if (--this.#uses > 0) return;
    this.#onUnused?.();
    const isIdle = this.#closed === undefined && this.#inner !== undefined && !this.#isKept;
    if (isIdle) this.#state.slots.markIdle(this);
  }

  #count(bytes: number): void {
    const { counts } = this.#state;
    counts.reads++;
    counts.bytesRead += bytes;
  }

  async #closeWhenUnused(): Promise<void> {
    const { slots } = this.#state;
    while (this.#uses > 0) {
      await new Promise<void>((resolve) => {
        this.#onUnused = resolve;
      });
    }
    this.#isReleased = true;
    slots.markBusy(this);
    this.#onClosed(this);
    await this.#givingBack;
    const inner = this.#inner;
    if (inner === undefined) return;
    this.#inner = undefined;
    await this.#closeQuietly(inner);
    slots.give(this.#isKept);
  }

  /** Closing what was only read loses nothing, and the operating system takes the descriptor back in any case. */
  async #closeQuietly(inner: ReadableFile | undefined): Promise<void> {
    await Promise.allSettled([inner?.close()]);
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw new AssertionError('a closed file is used', { file: this.path });
  }
}

/** A file that is open for updating. It has its descriptor from its opening to its closing. */
export class VirtualUpdatableFile implements UpdatableFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #state: VirtualFilesState;
  readonly #inner: UpdatableFile;
  #closed: Promise<void> | undefined;

  constructor(state: VirtualFilesState, inner: UpdatableFile) {
    this.path = inner.path;
    this.sizeBytes = inner.sizeBytes;
    this.#state = state;
    this.#inner = inner;
  }

  async read(target: Uint8Array, start: number, length: number, position: number): Promise<number> {
    const count = await this.#inner.read(target, start, length, position);
    this.#countRead(count);
    return count;
  }

  readNow(target: Uint8Array, start: number, length: number, position: number): number {
    const count = this.#inner.readNow(target, start, length, position);
    if (count >= 0) this.#countRead(count);
    return count;
  }

  writeNow(source: Uint8Array, start: number, length: number, position: number): void {
    this.#inner.writeNow(source, start, length, position);
    this.#countWritten(length);
  }

  async write(source: Uint8Array, start: number, length: number, position: number): Promise<void> {
    await this.#inner.write(source, start, length, position);
    this.#countWritten(length);
  }

  resize(sizeBytes: number): Promise<void> {
    return this.#inner.resize(sizeBytes);
  }

  sync(): Promise<void> {
    this.#state.counts.syncs++;
    return this.#inner.sync();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    try {
      await this.#inner.close();
    } finally {
      this.#state.slots.give(true);
    }
  }

  #countRead(bytes: number): void {
    const { counts } = this.#state;
    counts.reads++;
    counts.bytesRead += bytes;
  }

  #countWritten(bytes: number): void {
    const { counts } = this.#state;
    counts.writes++;
    counts.bytesWritten += bytes;
  }
}
