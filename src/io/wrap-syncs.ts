import type { Files, UpdatableFile } from './files.ts';

/** Does a sync, or does not. */
export type SyncWrapper = (sync: () => Promise<void>) => Promise<void>;

/** A files door each of whose syncs, of files and of directories, goes through `wrap`. */
export function wrapSyncs(files: Files, wrap: SyncWrapper): Files {
  return {
    stat: (path) => files.stat(path),
    list: (directory) => files.list(directory),
    open: (path) => files.open(path),
    create: (path, content) => files.create(path, content),
    openForUpdate: async (path) => new WrappedFile(await files.openForUpdate(path), wrap),
    rename: (from, to) => files.rename(from, to),
    link: (from, to) => files.link(from, to),
    remove: (path) => files.remove(path),
    makeDirectory: (path) => files.makeDirectory(path),
    removeDirectory: (path) => files.removeDirectory(path),
    syncDirectory: (path) => wrap(() => files.syncDirectory(path)),
    space: (path) => files.space(path),
  };
}

class WrappedFile implements UpdatableFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #file: UpdatableFile;
  readonly #wrap: SyncWrapper;

  constructor(file: UpdatableFile, wrap: SyncWrapper) {
    this.path = file.path;
    this.sizeBytes = file.sizeBytes;
    this.#file = file;
    this.#wrap = wrap;
  }

  read(target: Uint8Array, start: number, length: number, position: number): Promise<number> {
    return this.#file.read(target, start, length, position);
  }

  readNow(target: Uint8Array, start: number, length: number, position: number): number {
    return this.#file.readNow(target, start, length, position);
  }

  writeNow(source: Uint8Array, start: number, length: number, position: number): void {
    this.#file.writeNow(source, start, length, position);
  }

  write(source: Uint8Array, start: number, length: number, position: number): Promise<void> {
    return this.#file.write(source, start, length, position);
  }

  resize(sizeBytes: number): Promise<void> {
    return this.#file.resize(sizeBytes);
  }

  sync(): Promise<void> {
    return this.#wrap(() => this.#file.sync());
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
