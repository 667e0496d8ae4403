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
}

export interface FileStatus {
  /** `other` are pipes, sockets and devices, which cannot be read at a position. */
  readonly kind: 'file' | 'directory' | 'other';
  readonly sizeBytes: number;
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
  /** Lets go of the file. May be called again. */
  close(): Promise<void>;
}
