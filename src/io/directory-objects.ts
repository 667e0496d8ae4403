import { AssertionError, BadRequestError, VarveError } from '../base/errors.ts';
import { throwIfCancelled } from './cancelled.ts';
import type { Clock } from './clock.ts';
import { hasCode, isAbsence, toObjectError, translateFileErrors } from './directory-errors.ts';
import type { FileStatus, Files, ReadableFile } from './files.ts';
import { bodyPieces, checkRange } from './object-body.ts';
import { ObjectDirectories } from './object-directories.ts';
import { checkObjectKey, checkObjectKeyPrefix, compareObjectKeys, TEMPORARY_NAME } from './object-key.ts';
import type { GetOptions, ObjectBody, ObjectStatus, ObjectStore, PutOptions } from './objects.ts';
import type { Random } from './random.ts';
import { randomName } from './random-name.ts';

const PIECE_BYTES = 256 * 1024;
/** A temporary file as old as this is nobody's any more, not even another process's on the same directory. */
const TEMPORARY_AGE_MAX_MS = 24 * 60 * 60 * 1000;
const SWEEP_INTERVAL_MS = 60 * 60 * 1000;
/** A directory's files are looked at so many at a time. */
const STATUSES_AT_ONCE = 32;

export interface DirectoryDoors {
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
}

interface Entry {
  /** With a `/` behind it for a directory: keys sort so. */
  readonly name: string;
  readonly status: FileStatus;
}

/**
 * Objects as files of a local directory, which several processes may use at once: an object `a/b` is the file `a/b`.
 *
 * An object is written under a name of its own in the directory `.temporary`, synced, and renamed or linked into its
 * place. What crashes have left there is removed a day later. Directories stay when their last object goes, since
 * another process may be about to put one there.
 */
export class DirectoryObjects implements ObjectStore {
  readonly description: string;
  readonly #doors: DirectoryDoors;
  readonly #root: string;
  readonly #directories: ObjectDirectories;
  #sweptMs = Number.NEGATIVE_INFINITY;

  private constructor(doors: DirectoryDoors, root: string) {
    this.#doors = doors;
    this.#root = root;
    this.#directories = new ObjectDirectories(doors.files, root);
    this.description = `file://${root}`;
  }

  /** Makes the directory if it is not there, and removes what crashes have left. @param root an absolute path */
  static async open(doors: DirectoryDoors, root: string): Promise<DirectoryObjects> {
    if (!root.startsWith('/')) throw new AssertionError(`no absolute path: ${root}`);
    const store = new DirectoryObjects(doors, root);
    try {
      await translateFileErrors(() => store.#prepare());
    } catch (error) {
      if (!hasCode(error, 'BAD_OBJECT_KEY')) throw error;
      throw new BadRequestError('BAD_OBJECT_LOCATION', 'this is no directory', { file: root }, error);
    }
    return store;
  }

  /**
   * Opens a store to look into it. Unlike `open` it makes and removes nothing.
   * @throws VarveError ‘not-found’ / FILE_NOT_FOUND where there is no such directory
   */
  static async openExisting(doors: DirectoryDoors, root: string): Promise<DirectoryObjects> {
    if (!root.startsWith('/')) throw new AssertionError(`no absolute path: ${root}`);
    const { kind } = await doors.files.stat(root);
    if (kind === 'directory') return new DirectoryObjects(doors, root);
    throw new BadRequestError('BAD_OBJECT_LOCATION', 'this is no directory', { file: root });
  }

  async put(key: string, body: ObjectBody, { signal, onlyIfAbsent = false }: PutOptions): Promise<void> {
    checkObjectKey(key);
    throwIfCancelled(signal);
    await translateFileErrors(() => this.#prepare());
    const temporary = `${this.#root}/${TEMPORARY_NAME}/${randomName(this.#doors.random)}`;
    try {
      await this.#write(temporary, body, signal);
      await translateFileErrors(() => this.#place(temporary, key, onlyIfAbsent));
    } catch (error) {
      await this.#removeTemporary(temporary);
      if (hasCode(error, 'OBJECT_STORE')) this.#directories.forget();
      throw error;
    }
  }

  async get(key: string, options: GetOptions): Promise<Uint8Array> {
    checkObjectKey(key);
    const range = checkRange(options);
    throwIfCancelled(options.signal);
    await using file = await this.#open(key);
    const end = Math.min(range.end ?? file.sizeBytes, file.sizeBytes);
    const content = new Uint8Array(Math.max(end - range.start, 0));
    await readFully(file, content, range.start);
    throwIfCancelled(options.signal);
    return content;
  }

  async *getStream(key: string, options: GetOptions): AsyncGenerator<Uint8Array> {
    checkObjectKey(key);
    const range = checkRange(options);
    throwIfCancelled(options.signal);
    await using file = await this.#open(key);
    const end = Math.min(range.end ?? file.sizeBytes, file.sizeBytes);
    for (let position = range.start; position < end; position += PIECE_BYTES) {
      const piece = new Uint8Array(Math.min(PIECE_BYTES, end - position));
      await readFully(file, piece, position);
      throwIfCancelled(options.signal);
      yield piece;
    }
  }

  async head(key: string, signal: AbortSignal): Promise<ObjectStatus | undefined> {
    checkObjectKey(key);
    throwIfCancelled(signal);
    const status = await this.#statusOf(`${this.#root}/${key}`);
    if (status?.kind !== 'file') return undefined;
    return { key, sizeBytes: status.sizeBytes, modifiedMs: status.modifiedMs };
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<ObjectStatus> {
    checkObjectKeyPrefix(prefix);
    throwIfCancelled(signal);
    const directory = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    yield* this.#listDirectory(directory, prefix.slice(directory.length), signal);
  }

  async remove(keys: readonly string[], signal: AbortSignal): Promise<void> {
    for (const key of keys) checkObjectKey(key);
    const directories = new Set<string>();
    for (const key of keys) {
      throwIfCancelled(signal);
      const path = `${this.#root}/${key}`;
      if (await this.#removeIfThere(path)) directories.add(path.slice(0, path.lastIndexOf('/')));
    }
    for (const directory of directories) {
      await translateFileErrors(() => this.#doors.files.syncDirectory(directory));
    }
  }

  close(): void {
    // There is nothing to let go of.
  }

  /** Errors of the body's pieces are passed on as they are, those of the disk are translated. */
  async #write(path: string, body: ObjectBody, signal: AbortSignal): Promise<void> {
    await using file = await translateFileErrors(() => this.#doors.files.openForUpdate(path));
    let position = 0;
    for await (const piece of bodyPieces(body, signal)) {
      await translateFileErrors(() => file.write(piece, 0, piece.length, position));
      position += piece.length;
    }
    await translateFileErrors(() => file.sync());
    throwIfCancelled(signal);
  }

  async #place(temporary: string, key: string, onlyIfAbsent: boolean): Promise<void> {
    const { files } = this.#doors;
    const names = key.split('/').slice(0, -1);
    const path = `${this.#root}/${key}`;
    await this.#directories.prepare(names);
    if (onlyIfAbsent) await this.#link(temporary, path);
    else await files.rename(temporary, path);
    await files.syncDirectory([this.#root, ...names].join('/'));
    if (onlyIfAbsent) await files.remove(temporary);
  }

  async #link(temporary: string, path: string): Promise<void> {
    try {
      await this.#doors.files.link(temporary, path);
    } catch (error) {
      if (!hasCode(error, 'FILE_EXISTS')) throw error;
      if ((await this.#statusOf(path))?.kind === 'directory') throw error;
      throw new VarveError(
        'precondition',
        'OBJECT_EXISTS',
        'this object exists already',
        { file: path },
        error,
      );
    }
  }

  /** After a failure, whose error says more than that of this removal would: a sweep removes what is left. */
  async #removeTemporary(path: string): Promise<void> {
    try {
      await this.#doors.files.remove(path);
    } catch (error) {
      if (!(error instanceof VarveError)) throw error;
    }
  }

  async #removeIfThere(path: string): Promise<boolean> {
    try {
      await this.#doors.files.remove(path);
      return true;
    } catch (error) {
      if (isAbsence(error)) return false;
      throw toObjectError(error);
    }
  }

  async #open(key: string): Promise<ReadableFile> {
    const path = `${this.#root}/${key}`;
    try {
      return await this.#doors.files.open(path);
    } catch (error) {
      if (!isAbsence(error)) throw toObjectError(error);
      throw new VarveError('not-found', 'OBJECT_NOT_FOUND', 'there is no such object', { file: path }, error);
    }
  }

  /** undefined where there is nothing. */
  async #statusOf(path: string): Promise<FileStatus | undefined> {
    try {
      return await this.#doors.files.stat(path);
    } catch (error) {
      if (isAbsence(error)) return undefined;
      throw toObjectError(error);
    }
  }

  /** What lies below a directory (its key ends with `/`, or is empty) and begins with `beginning` there. */
  async *#listDirectory(
    directory: string,
    beginning: string,
    signal: AbortSignal,
  ): AsyncGenerator<ObjectStatus> {
    for (const { name, status } of await this.#entries(directory, beginning)) {
      throwIfCancelled(signal);
      const key = directory + name;
      if (status.kind === 'directory') yield* this.#listDirectory(key, '', signal);
      else yield { key, sizeBytes: status.sizeBytes, modifiedMs: status.modifiedMs };
    }
  }

  async #entries(directory: string, beginning: string): Promise<Entry[]> {
    const names = (await this.#namesIn(directory)).filter(
      (name) => name.startsWith(beginning) && !(directory === '' && name === TEMPORARY_NAME),
    );
    const entries: Entry[] = [];
    for (let i = 0; i < names.length; i += STATUSES_AT_ONCE) {
      const some = names.slice(i, i + STATUSES_AT_ONCE);
      const statuses = await Promise.all(
        some.map((name) => this.#statusOf(`${this.#root}/${directory}${name}`)),
      );
      for (const [index, status] of statuses.entries()) {
        // It may have gone since, and what is neither is none of ours.
        if (status === undefined || status.kind === 'other') continue;
        entries.push({ name: status.kind === 'directory' ? `${some[index]}/` : some[index], status });
      }
    }
    return entries.sort((left, right) => compareObjectKeys(left.name, right.name));
  }

  async #namesIn(directory: string): Promise<string[]> {
    try {
      return await this.#doors.files.list(`${this.#root}/${directory}`.replace(/\/$/, ''));
    } catch (error) {
      if (isAbsence(error)) return [];
      throw toObjectError(error);
    }
  }

  /** Makes the root and the place for temporary files, and now and then removes there what crashes have left. */
  async #prepare(): Promise<void> {
    const { clock, files } = this.#doors;
    await this.#directories.prepareRoot();
    await this.#directories.prepare([TEMPORARY_NAME]);
    if (clock.monotonicMs() - this.#sweptMs < SWEEP_INTERVAL_MS) return;
    this.#sweptMs = clock.monotonicMs();
    const directory = `${this.#root}/${TEMPORARY_NAME}`;
    for (const name of await files.list(directory)) {
      const status = await this.#statusOf(`${directory}/${name}`);
      if (status?.kind !== 'file') continue;
      if (clock.wallMs() - status.modifiedMs > TEMPORARY_AGE_MAX_MS) {
        await this.#removeIfThere(`${directory}/${name}`);
      }
    }
  }
}

async function readFully(file: ReadableFile, target: Uint8Array, position: number): Promise<void> {
  const read = await translateFileErrors(() => file.read(target, 0, target.length, position));
  if (read === target.length) return;
  throw new VarveError('unavailable', 'OBJECT_STORE', 'the object has become shorter', { file: file.path });
}
