import { VarveError } from '../base/errors.ts';
import type { FileStatus, Files } from '../io/files.ts';
import type { Logger } from '../observe/log.ts';

/** What a directory of ours holds, whoever has put it there. */
export interface LocalEntry {
  readonly name: string;
  readonly kind: FileStatus['kind'];
  readonly sizeBytes: number;
}

/**
 * What is in a directory, as far as it can be listed: undefined where a name is not UTF-8, which the files door cannot
 * say. What cannot be looked at, such as a link that leads nowhere, is of the kind `other`.
 * @throws what else listing fails of
 */
export async function listEntries(
  files: Files,
  directory: string,
  logger: Logger,
): Promise<readonly LocalEntry[] | undefined> {
  let names: string[];
  try {
    names = await files.list(directory);
  } catch (error) {
    if (!(error instanceof VarveError) || error.code !== 'BAD_PATH') throw error;
    logger.error('A directory cannot be tidied up, since something in it has an impossible name', {
      directory,
      error,
    });
    return undefined;
  }
  const entries: LocalEntry[] = [];
  for (const name of names) {
    const status = await statIfPossible(files, `${directory}/${name}`);
    entries.push({ name, kind: status?.kind ?? 'other', sizeBytes: status?.sizeBytes ?? 0 });
  }
  return entries;
}

/** undefined: it is not there, or cannot be looked at. */
export async function statIfPossible(files: Files, path: string): Promise<FileStatus | undefined> {
  try {
    return await files.stat(path);
  } catch (error) {
    if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
    return undefined;
  }
}
