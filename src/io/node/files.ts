import { closeSync, constants, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs';
import * as promises from 'node:fs/promises';
import { BadRequestError, VarveError } from '../../base/errors.ts';
import type { FilePiece, FileStatus, Files, SmallFiles } from '../files.ts';
import { checkPath, translate, translateNow } from './file-errors.ts';
import { openBuffered, openRegularFile, READING, UPDATING } from './open-regular-file.ts';

/** What Varve makes is for its account alone, as in PostgreSQL (file_perm.h, pg_dir_create_mode_owner). */
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

const kindOf = (entry: { isFile(): boolean; isDirectory(): boolean }): FileStatus['kind'] => {
  if (entry.isFile()) return 'file';
  return entry.isDirectory() ? 'directory' : 'other';
};

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A name that is no UTF-8 is refused: as a string it would be the name of another file. */
async function listNames(directory: string): Promise<string[]> {
  const names = await promises.readdir(directory, { encoding: 'buffer' });
  return names.map((name) => decodeName(name, directory)).sort();
}

function decodeName(name: Uint8Array, directory: string): string {
  try {
    return utf8.decode(name);
  } catch (error) {
    const hex = Buffer.from(name).toString('hex');
    const reason = `a name in this directory is not UTF-8: the bytes ${hex}`;
    throw new VarveError('bad-request', 'BAD_PATH', reason, { file: directory }, error);
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

function writeFileNow(path: string, sizeBytes: number, pieces: readonly FilePiece[]): void {
  const descriptor = openSync(path, 'w', FILE_MODE);
  try {
    ftruncateSync(descriptor, sizeBytes);
    for (const { offset, bytes } of pieces) {
      for (let done = 0; done < bytes.length; )
        done += writeSync(descriptor, bytes, done, bytes.length - done, offset + done);
    }
  } finally {
    closeSync(descriptor);
  }
}

/** The real side of the files door. */
export const nodeFiles: Files & SmallFiles = {
  stat: (path) =>
    translate(path, async () => {
      const status = await promises.stat(path);
      return { kind: kindOf(status), sizeBytes: status.size, modifiedMs: status.mtimeMs };
    }),

  list: (directory) => translate(directory, async () => listNames(directory)),

  open: (path) => openRegularFile(path, READING, openBuffered),

  create: (path, content) => translate(path, () => promises.writeFile(path, content, { flag: 'wx' })),

  openForUpdate: (path) => openRegularFile(path, UPDATING, openBuffered),

  rename: (from, to) =>
    translate(from, () => {
      checkPath(to);
      return promises.rename(from, to);
    }),

  link: (from, to) =>
    translate(to, () => {
      checkPath(from);
      return promises.link(from, to);
    }),

  remove: (path) => translate(path, () => promises.unlink(path)),

  makeDirectory: (path) =>
    translate(path, async () => {
      await promises.mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
    }),

  makeDirectoryNow: (path) =>
    translateNow(path, () => void mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE })),

  writeFileNow: (path, sizeBytes, pieces) => translateNow(path, () => writeFileNow(path, sizeBytes, pieces)),

  removeDirectory: (path) => translate(path, () => removeDirectory(path)),

  syncDirectory: (path) => translate(path, () => syncDirectory(path)),

  space: (path) =>
    translate(path, async () => {
      const { bsize, blocks, bavail } = await promises.statfs(path);
      return { capacityBytes: blocks * bsize, availableBytes: bavail * bsize };
    }),
};
