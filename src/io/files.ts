/**
 * The door to the file system. Every method may fail with a VarveError whose place names the path:
 *
 * - `not-found` / FILE_NOT_FOUND: there is nothing at the path
 * - `conflict` / FILE_EXISTS: there is something already, and it may not be replaced
 * - `bad-request` / IS_A_DIRECTORY, NOT_A_DIRECTORY, BAD_PATH: the path is not of the kind that is asked for
 * - `precondition` / PERMISSION_DENIED: whoever runs Varve may not
 * - `unavailable` / FILE_IO: the disk or the operating system fails, or has no more of something (space, descriptors)
 */
export interface Files {
  stat(path: string): Promise<FileStatus>;
  /** Names in a directory, without `.` and `..`, sorted by their UTF-16 units. */
  list(directory: string): Promise<string[]>;
  /** Opens a regular file for reading. The caller closes it. */
  open(path: string): Promise<ReadableFile>;
  /** Makes a file that was not there before, with this content. Does not wait until it is safe on the disk. */
  create(path: string, content: Uint8Array): Promise<void>;
  /**
   * Opens a regular file for reading and writing, and makes an empty one where there is none. That the file exists is
   * durable only after `syncDirectory`. The caller closes it.
   */
  openForUpdate(path: string): Promise<UpdatableFile>;
  /** Gives a file or directory another name in the same file system, in place of what may have had that name. */
  rename(from: string, to: string): Promise<void>;
  /** Gives a file a second name in the same file system. FILE_EXISTS where something has that name. */
  link(from: string, to: string): Promise<void>;
  /** Removes one file. Open ones stay readable to who has them open. */
  remove(path: string): Promise<void>;
  /** Makes a directory and those above it. It may be there already. Does not wait until it is safe on the disk. */
  makeDirectory(path: string): Promise<void>;
  /** Removes a directory with all that is in it. It may be gone already. */
  removeDirectory(path: string): Promise<void>;
  /** On return the names in this directory are durable: what was made, renamed and removed in it before. */
  syncDirectory(path: string): Promise<void>;
  /** Of the file system that holds the path. */
  space(path: string): Promise<FileSystemSpace>;
}

/**
 * Makes what is small and new at once: where there is much of it, handing each to another thread and back takes longer than
 * making it. Fails as `Files` does.
 */
export interface SmallFiles {
  /** As `Files.makeDirectory`. */
  makeDirectoryNow(path: string): void;
  /** Makes a file, or another one of a file that is there: of that size, with these pieces, and zeros elsewhere. */
  writeFileNow(path: string, sizeBytes: number, pieces: readonly FilePiece[]): void;
}

export interface FilePiece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface FileSystemSpace {
  readonly capacityBytes: number;
  /** What this account may still use. */
  readonly availableBytes: number;
}

export interface FileStatus {
  /** `other` are pipes, sockets and devices, which cannot be read at a position. */
  readonly kind: 'file' | 'directory' | 'other';
  readonly sizeBytes: number;
  /** When its content last changed: milliseconds since 1970-01-01 UTC. */
  readonly modifiedMs: number;
}

export interface ReadableFile extends AsyncDisposable {
  readonly path: string;
  /** Size in bytes when it was opened. */
  readonly sizeBytes: number;
  /**
   * Reads `length` bytes from `position` into `target` at `start`. Returns how many there were: fewer only where the
   * file ends before.
   */
  read(target: Uint8Array, start: number, length: number, position: number): Promise<number>;
  /**
   * As `read`, now, in this call: a microsecond where the operating system has the bytes in memory, so use it where
   * they almost surely are there. -1: nothing was read, since that cannot be done without waiting (a virtual file has
   * given its descriptor back); `read` does it.
   */
  readNow(target: Uint8Array, start: number, length: number, position: number): number;
  /** Lets go of the file. May be called again. */
  close(): Promise<void>;
}

/**
 * A file that is open for reading and writing.
 *
 * When a `sync` has failed, nobody knows what of the writes before it is on the disk, and a further `sync` may lie (the
 * operating system forgets what it could not write): the owner must close the file and find out by reading it anew
 * what it holds, and must not report anything as durable before.
 */
export interface UpdatableFile extends ReadableFile {
  /**
   * Writes now, in this call, into the operating system's cache: a microsecond for small pieces, so use it on hot
   * paths for at most some 128 KiB. Durable only after `sync`. A failed write may have written any part of it.
   */
  writeNow(source: Uint8Array, start: number, length: number, position: number): void;
  /** As `writeNow`, without holding up the event loop. `source` must not change before it resolves. */
  write(source: Uint8Array, start: number, length: number, position: number): Promise<void>;
  /** Cuts the file, or extends it by zeros (which take no space yet). */
  resize(sizeBytes: number): Promise<void>;
  /** On return all that had been written before the call is durable, with the file's size. */
  sync(): Promise<void>;
}
