import { constants } from 'node:fs';
import { type FileHandle, open, readdir, stat, writeFile } from 'node:fs/promises';
import { BadRequestError, type ErrorKind, VarveError } from '../../base/errors.ts';
import type { FileStatus, Files, ReadableFile } from '../files.ts';

/** What the operating system's refusals mean to whoever asked. All others are FILE_IO. */
const REFUSALS: Readonly<Record<string, readonly [ErrorKind, string, string]>> = {
  ENOENT: ['not-found', 'FILE_NOT_FOUND', 'there is no such file or directory'],
  ENOTDIR: ['bad-request', 'NOT_A_DIRECTORY', 'a part of the path is not a directory'],
  EISDIR: ['bad-request', 'IS_A_DIRECTORY', 'this is a directory'],
  ENAMETOOLONG: ['bad-request', 'BAD_PATH', 'the path is too long'],
  ELOOP: ['bad-request', 'BAD_PATH', 'symbolic links lead in a circle'],
  EEXIST: ['conflict', 'FILE_EXISTS', 'this exists already'],
  EACCES: ['precondition', 'PERMISSION_DENIED', 'the permission for this is missing'],
  EPERM: ['precondition', 'PERMISSION_DENIED', 'the permission for this is missing'],
};

/** Turns what Node.js throws into the door's errors. */
async function translate<Result>(path: string, action: () => Promise<Result>): Promise<Result> {
  try {
    return await action();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
    // A failed system call has a code that begins so. Anything else is a bug or is ours, and stays what it is.
    if (code === undefined || !/^E[A-Z0-9]+$/.test(code)) throw error;
    const [kind, stable, reason] = REFUSALS[code] ?? ['unavailable', 'FILE_IO', (error as Error).message];
    throw new VarveError(kind, stable, reason, { file: path }, error);
  }
}

const kindOf = (entry: { isFile(): boolean; isDirectory(): boolean }): FileStatus['kind'] => {
  if (entry.isFile()) return 'file';
  return entry.isDirectory() ? 'directory' : 'other';
};

class NodeFile implements ReadableFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #handle: FileHandle;

  constructor(path: string, sizeBytes: number, handle: FileHandle) {
    this.path = path;
    this.sizeBytes = sizeBytes;
    this.#handle = handle;
  }

  async read(target: Uint8Array, start: number, length: number, position: number): Promise<number> {
    let done = 0;
    while (done < length) {
      const { bytesRead } = await translate(this.path, () =>
        this.#handle.read(target, start + done, length - done, position + done),
      );
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }

  async close(): Promise<void> {
    await translate(this.path, () => this.#handle.close());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** The real side of the files door. */
export const nodeFiles: Files = {
  stat: (path) =>
    translate(path, async () => {
      const status = await stat(path);
      return { kind: kindOf(status), sizeBytes: status.size };
    }),

  list: (directory) => translate(directory, async () => (await readdir(directory)).sort()),

  open: (path) =>
    translate(path, async () => {
      // Without O_NONBLOCK, opening a named pipe would wait for somebody to write into it.
      const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
      try {
        const status = await handle.stat();
        if (status.isDirectory()) {
          throw new BadRequestError('IS_A_DIRECTORY', 'this is a directory', { file: path });
        }
        if (!status.isFile())
          throw new BadRequestError('BAD_PATH', 'this is not a regular file', { file: path });
        return new NodeFile(path, status.size, handle);
      } catch (error) {
        await handle.close();
        throw error;
      }
    }),

  create: (path, content) => translate(path, () => writeFile(path, content, { flag: 'wx' })),
};
