import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { VarveError } from '../base/errors.ts';
import type { Files } from './files.ts';
import { replaceFile } from './replace-file.ts';
import type { Sockets } from './sockets.ts';

/** Who takes a directory for itself. */
export interface DirectoryOwner {
  /** Such as `safekeeper`: in the lock's name, in messages, and in the name of the file that says whose it is. */
  readonly service: string;
  readonly nodeId: number;
}

/**
 * Takes a directory for this process, until the result is disposed of or the process ends, however that comes. Whose
 * directory it is stands in a file `<service>.id` in it, which the first owner writes.
 *
 * The lock is a listening socket in Linux's abstract namespace, which the kernel lets go of with the process: a file
 * with a process id can outlive it. Processes that do not share the network namespace are not seen.
 *
 * @param directory must be the real path, or two names of it would be two locks
 * @throws VarveError ‘conflict’ / DIRECTORY_IN_USE, ‘precondition’ / WRONG_NODE where it is another node's
 */
export async function lockDirectory(
  sockets: Sockets,
  files: Files,
  directory: string,
  owner: DirectoryOwner,
): Promise<AsyncDisposable> {
  await files.makeDirectory(directory);
  await files.syncDirectory(dirname(directory));
  const name = createHash('sha256').update(directory).digest('hex');
  try {
    const lock = await sockets.listen({ path: `\0varve-${owner.service}-${name}` }, (connection) =>
      connection.close(),
    );
    try {
      await checkNode(files, directory, owner);
      return lock;
    } catch (error) {
      await lock.close();
      throw error;
    }
  } catch (error) {
    if (!(error instanceof VarveError) || error.code !== 'ADDRESS_IN_USE') throw error;
    throw new VarveError(
      'conflict',
      'DIRECTORY_IN_USE',
      `another ${owner.service} process has this directory`,
      { file: directory },
      error,
    );
  }
}

async function checkNode(
  files: Files,
  directory: string,
  { service, nodeId }: DirectoryOwner,
): Promise<void> {
  const fileName = `${service}.id`;
  const known = await readId(files, `${directory}/${fileName}`);
  if (known === undefined) {
    await replaceFile(files, directory, fileName, new TextEncoder().encode(`${nodeId}\n`));
  } else if (known !== String(nodeId)) {
    throw new VarveError(
      'precondition',
      'WRONG_NODE',
      `this is the directory of ${service} ${known}, not of ${nodeId}`,
      { file: directory },
    );
  }
}

async function readId(files: Files, path: string): Promise<string | undefined> {
  try {
    await using file = await files.open(path);
    const content = new Uint8Array(file.sizeBytes);
    await file.read(content, 0, content.length, 0);
    return new TextDecoder().decode(content).trim();
  } catch (error) {
    if (error instanceof VarveError && error.code === 'FILE_NOT_FOUND') return undefined;
    throw error;
  }
}
