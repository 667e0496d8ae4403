import { close, constants, fstat, open } from 'node:fs';
import * as promises from 'node:fs/promises';
import { promisify } from 'node:util';
import { BadRequestError } from '../../base/errors.ts';
import type { FileStatus, Files } from '../files.ts';
import { translate } from './file-errors.ts';
import { OpenFile } from './open-file.ts';

/** What Varve makes is for its account alone, as in PostgreSQL (file_perm.h, pg_file_create_mode). */
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

const openDescriptor = promisify(open);
const closeDescriptor = promisify(close);
const statusOfDescriptor = promisify(fstat);

const kindOf = (entry: { isFile(): boolean; isDirectory(): boolean }): FileStatus['kind'] => {
  if (entry.isFile()) return 'file';
  return entry.isDirectory() ? 'directory' : 'other';
};

async function openRegularFile(path: string, flags: number): Promise<OpenFile> {
  // Without O_NONBLOCK, opening a named pipe would wait for somebody at its other end.
  const descriptor = await openDescriptor(path, flags | constants.O_NONBLOCK, FILE_MODE);
  try {
    const status = await statusOfDescriptor(descriptor);
    if (status.isDirectory()) {
      throw new BadRequestError('IS_A_DIRECTORY', 'this is a directory', { file: path });
    }
    if (!status.isFile()) throw new BadRequestError('BAD_PATH', 'this is not a regular file', { file: path });
    return new OpenFile(path, status.size, descriptor);
  } catch (error) {
    await closeDescriptor(descriptor);
    throw error;
  }
}

async function removeDirectory(path: string): Promise<void> {
  let isDirectory: boolean;
  try {
    isDirectory = (await promises.lstat(path)).isDirectory();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if (!isDirectory) throw new BadRequestError('NOT_A_DIRECTORY', 'this is not a directory', { file: path });
  await promises.rm(path, { recursive: true, force: true });
}

async function syncDirectory(path: string): Promise<void> {
  await using handle = await promises.open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  await handle.sync();
}

/** The real side of the files door. */
export const nodeFiles: Files = {
  stat: (path) =>
    translate(path, async () => {
      const status = await promises.stat(path);
      return { kind: kindOf(status), sizeBytes: status.size, modifiedMs: status.mtimeMs };
    }),

  list: (directory) => translate(directory, async () => (await promises.readdir(directory)).sort()),

  open: (path) => translate(path, () => openRegularFile(path, constants.O_RDONLY)),

  create: (path, content) => translate(path, () => promises.writeFile(path, content, { flag: 'wx' })),

  openForUpdate: (path) => translate(path, () => openRegularFile(path, constants.O_RDWR | constants.O_CREAT)),

  rename: (from, to) => translate(from, () => promises.rename(from, to)),

  link: (from, to) => translate(to, () => promises.link(from, to)),

  remove: (path) => translate(path, () => promises.unlink(path)),

  makeDirectory: (path) =>
    translate(path, async () => {
      await promises.mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
    }),

  removeDirectory: (path) => translate(path, () => removeDirectory(path)),

  syncDirectory: (path) => translate(path, () => syncDirectory(path)),

  space: (path) =>
    translate(path, async () => {
      const { bsize, blocks, bavail } = await promises.statfs(path);
      return { capacityBytes: blocks * bsize, availableBytes: bavail * bsize };
    }),
};
