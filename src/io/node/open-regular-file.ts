import { close, constants, fstat, open } from 'node:fs';
import { promisify } from 'node:util';
import { BadRequestError } from '../../base/errors.ts';
import { translate } from './file-errors.ts';
import { OpenFile } from './open-file.ts';

/** What Varve makes is for its account alone, as in PostgreSQL (file_perm.h, pg_file_create_mode). */
const FILE_MODE = 0o600;

const openDescriptor = promisify(open);
const closeDescriptor = promisify(close);
const statusOfDescriptor = promisify(fstat);

export const READING = constants.O_RDONLY;
export const UPDATING = constants.O_RDWR | constants.O_CREAT;

/** Makes a file of a descriptor, which stays the caller's if it fails. */
export type Opened<File> = (path: string, sizeBytes: number, descriptor: number) => File | Promise<File>;

export const openBuffered = (path: string, sizeBytes: number, descriptor: number): OpenFile =>
  new OpenFile(path, sizeBytes, descriptor);

/** Opens a file, and nothing else that may be at a path. @throws as Files.open */
export function openRegularFile<File>(path: string, flags: number, opened: Opened<File>): Promise<File> {
  return translate(path, async () => {
    // Without O_NONBLOCK, opening a named pipe would wait for somebody at its other end.
    const descriptor = await openDescriptor(path, flags | constants.O_NONBLOCK, FILE_MODE);
    try {
      const status = await statusOfDescriptor(descriptor);
      if (status.isDirectory()) {
        throw new BadRequestError('IS_A_DIRECTORY', 'this is a directory', { file: path });
      }
      if (!status.isFile())
        throw new BadRequestError('BAD_PATH', 'this is not a regular file', { file: path });
      return await opened(path, status.size, descriptor);
    } catch (error) {
      await closeDescriptor(descriptor);
      throw error;
    }
  });
}
