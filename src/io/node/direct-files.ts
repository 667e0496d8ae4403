import { constants } from 'node:fs';
import type { Files, UpdatableFile } from '../files.ts';
import { BounceBuffers, DIRECT_BLOCK_BYTES, DirectFile, openDirectly } from './direct-file.ts';
import { nodeFiles } from './files.ts';
import { OpenFile } from './open-file.ts';
import { type Opened, openBuffered, openRegularFile, READING, UPDATING } from './open-regular-file.ts';

/** The files door that passes by the operating system's page cache where it can. */
export interface DirectFiles extends Files {
  /** Files that were opened as any others, since their file system or the operating system refuses direct I/O. */
  readonly refusals: number;
}

/**
 * The files door with direct I/O (Linux, O_DIRECT): what is read and written does not push anything else out of memory,
 * and is in memory once. It is for files that are cached by whoever reads them. Files take two descriptors each.
 *
 * Where direct I/O is refused, a file is opened as by `nodeFiles`, and counted.
 */
export function createDirectFiles(): DirectFiles {
  const bounce = new BounceBuffers();
  let refusals = 0;
  const refuse = (): void => {
    refusals++;
  };
  const opener =
    (flags: number): Opened<UpdatableFile> =>
    async (path, sizeBytes, descriptor) => {
      const direct = await openDirectly(descriptor, flags);
      const buffered = openBuffered(path, sizeBytes, descriptor);
      if (direct !== undefined) {
        const file = new OpenFile(path, sizeBytes, direct, DIRECT_BLOCK_BYTES);
        return new DirectFile(buffered, file, bounce, refuse);
      }
      refuse();
      return buffered;
    };
  return {
    ...nodeFiles,
    open: (path) => openRegularFile(path, READING, opener(constants.O_RDONLY)),
    openForUpdate: (path) => openRegularFile(path, UPDATING, opener(constants.O_RDWR)),
    get refusals() {
      return refusals;
    },
  };
}
