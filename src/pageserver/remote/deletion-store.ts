import { CorruptionError, VarveError } from '../../base/errors.ts';
import type { Files } from '../../io/files.ts';
import { replaceFile, TEMPORARY_SUFFIX } from '../../io/replace-file.ts';
import type { Logger } from '../../observe/log.ts';
import {
  DELETION_HEADER_NAME,
  type DeletionList,
  decodeDeletionHeader,
  decodeDeletionList,
  deletionListName,
  encodeDeletionHeader,
  encodeDeletionList,
  parseDeletionListName,
} from './deletion-list.ts';

/** What is too large for its decoder is not read whole. */
const FILE_BYTES_MAX: number = 65 * 1024 * 1024;
/** Behind the name of a file that cannot be read: it stays for whoever wants to look, and is never executed. */
const REFUSED_SUFFIX = '.refused';

export interface StoredDeletions {
  /** Ascending. Those that the header covers count as validated. */
  readonly lists: readonly DeletionList[];
  /** Above all numbers that any list or header has. */
  readonly nextSequence: number;
  /** Files that could not be read, and were set aside. */
  readonly refused: number;
}

/** The deletion queue's local files, as docs/formats/deletion-list.md says. */
export class DeletionStore {
  readonly #files: Files;
  readonly #directory: string;
  readonly #logger: Logger;

  /** @param directory must exist, and have nothing else in it */
  constructor(files: Files, directory: string, logger: Logger) {
    this.#files = files;
    this.#directory = directory;
    this.#logger = logger;
  }

  /** Reads what is left of an earlier process, and removes what it has not finished writing. */
  async load(): Promise<StoredDeletions> {
    let refused = 0;
    let validatedSequence = 0;
    let highest = 0;
    const lists: DeletionList[] = [];
    for (const name of await this.#files.list(this.#directory)) {
      const isRefused = name.endsWith(REFUSED_SUFFIX);
      const sequence = parseDeletionListName(isRefused ? name.slice(0, -REFUSED_SUFFIX.length) : name);
      if (sequence !== undefined) highest = Math.max(highest, sequence);
      if (name.endsWith(TEMPORARY_SUFFIX)) await this.#files.remove(`${this.#directory}/${name}`);
      if (isRefused || name.endsWith(TEMPORARY_SUFFIX)) continue;
      if (sequence === undefined && name !== DELETION_HEADER_NAME) {
        this.#logger.warn('A file of unknown name is in the directory of deletions', { name });
        continue;
      }
      const wasRead = await this.#readOrRefuse(name, (bytes, path) => {
        if (sequence === undefined) validatedSequence = decodeDeletionHeader(bytes, path);
        else lists.push(checkSequence(decodeDeletionList(bytes, path), sequence, path));
      });
      if (!wasRead) refused++;
    }
    // Names may come from renames that a crash has caught before they were durable.
    await this.#files.syncDirectory(this.#directory);
    return {
      lists: lists
        .map((list) => ({ ...list, isValidated: list.isValidated || list.sequence <= validatedSequence }))
        .sort((left, right) => left.sequence - right.sequence),
      nextSequence: Math.max(highest, validatedSequence) + 1,
      refused,
    };
  }

  /** On return the list is durable. */
  async write(list: DeletionList): Promise<void> {
    await replaceFile(
      this.#files,
      this.#directory,
      deletionListName(list.sequence),
      encodeDeletionList(list),
    );
  }

  /** On return all lists up to this one may be executed, also by the next process. */
  async writeHeader(validatedSequence: number): Promise<void> {
    await replaceFile(
      this.#files,
      this.#directory,
      DELETION_HEADER_NAME,
      encodeDeletionHeader(validatedSequence),
    );
  }

  /** On return the lists are gone for good. They may be gone already. */
  async remove(sequences: readonly number[]): Promise<void> {
    for (const sequence of sequences) {
      try {
        await this.#files.remove(`${this.#directory}/${deletionListName(sequence)}`);
      } catch (error) {
        if (!(error instanceof VarveError) || error.code !== 'FILE_NOT_FOUND') throw error;
      }
    }
    await this.#files.syncDirectory(this.#directory);
  }

  /** A file that cannot be read is set aside: its objects stay, which costs space and nothing else. */
  async #readOrRefuse(name: string, decode: (bytes: Uint8Array, path: string) => void): Promise<boolean> {
    const path = `${this.#directory}/${name}`;
    try {
      decode(await this.#read(path), path);
      return true;
    } catch (error) {
      const isRefused =
        error instanceof VarveError &&
        (error.kind === 'corruption' || error.code === 'UNKNOWN_FORMAT_VERSION');
      if (!isRefused) throw error;
      this.#logger.error('A file of deletions cannot be read and is set aside', { path, error });
      await this.#files.rename(path, path + REFUSED_SUFFIX);
      return false;
    }
  }

  async #read(path: string): Promise<Uint8Array> {
    await using file = await this.#files.open(path);
    const bytes = new Uint8Array(Math.min(file.sizeBytes, FILE_BYTES_MAX));
    return bytes.subarray(0, await file.read(bytes, 0, bytes.length, 0));
  }
}

function checkSequence(list: DeletionList, sequence: number, file: string): DeletionList {
  if (list.sequence === sequence) return list;
  throw new CorruptionError('BAD_DELETION_LIST', `this is list ${list.sequence}`, { file });
}
