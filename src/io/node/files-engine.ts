import { BadRequestError } from '../../base/errors.ts';
import type { Files } from '../files.ts';
import { createDirectFiles } from './direct-files.ts';
import { nodeFiles } from './files.ts';
import { OpenFile } from './open-file.ts';
import { openRegularFile, READING } from './open-regular-file.ts';
import { QuickReads } from './quick-reads.ts';

/**
 * - `portable`: through the operating system's page cache; on every system. Files that are opened for reading are read at
 *   once where that has been quick lately (QuickReads)
 * - `direct`: around it, on Linux and where the file system knows how
 */
export const FILES_ENGINES = ['portable', 'direct'] as const;

/** A way of doing I/O. Files that one has written are read by the other. */
export interface FilesEngine {
  readonly name: (typeof FILES_ENGINES)[number];
  readonly files: Files;
  /** How many descriptors an open file takes at most. */
  readonly descriptorsPerFile: number;
  /** Files that are done in the portable way, although it is not that engine. */
  readonly refusals: number;
}

/** @throws VarveError ‘bad-request’ / UNKNOWN_IO_ENGINE */
export function openFilesEngine(name: string): FilesEngine {
  switch (name) {
    case 'portable':
      return { name, files: quickFiles(), descriptorsPerFile: 1, refusals: 0 };
    case 'direct': {
      const files = createDirectFiles();
      return {
        name,
        files,
        descriptorsPerFile: 2,
        get refusals() {
          return files.refusals;
        },
      };
    }
    default: {
      const reason = `there is no I/O engine ${name}: it is one of ${FILES_ENGINES.join(', ')}`;
      throw new BadRequestError('UNKNOWN_IO_ENGINE', reason);
    }
  }
}

/** For a pageserver's layers: its readers wait for nothing but these reads. Whoever syncs commits must not use it. */
function quickFiles(): Files {
  const quickReads = new QuickReads(
    () => performance.now(),
    setImmediate,
    () => process.resourceUsage().fsRead,
  );
  const opened = (path: string, sizeBytes: number, descriptor: number): OpenFile =>
    new OpenFile(path, sizeBytes, descriptor, 1, quickReads);
  return { ...nodeFiles, open: (path) => openRegularFile(path, READING, opened) };
}
