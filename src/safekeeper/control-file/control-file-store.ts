import { AssertionError, CorruptionError, VarveError } from '../../base/errors.ts';
import type { Files } from '../../io/files.ts';
import { replaceFile } from '../../io/replace-file.ts';
import type { PersistentState } from '../consensus/persistent-state.ts';
import { CONTROL_FILE_BYTES_MAX, decodeControlFile, encodeControlFile } from './control-file-codec.ts';

export const CONTROL_FILE_NAME = 'safekeeper.control';

/** The control file of one timeline. There must be only one store for it at a time. */
export class ControlFileStore {
  readonly path: string;
  readonly #files: Files;
  readonly #directory: string;
  #isLoaded = false;
  /** What is durable; undefined while there is no file. */
  #saved: PersistentState | undefined;
  #queue: Promise<void> = Promise.resolve();

  /** @param directory the timeline's, which must exist */
  constructor(files: Files, directory: string) {
    this.#files = files;
    this.#directory = directory;
    this.path = `${directory}/${CONTROL_FILE_NAME}`;
  }

  /**
   * Reads the file; undefined where there is none. Comes before the first `save`.
   * @throws CorruptionError where it is not what `save` has written
   */
  async load(): Promise<PersistentState | undefined> {
    const state = await readControlFile(this.#files, this.#directory);
    if (state !== undefined) {
      // It may have its name from a rename that a crash has caught before it was durable.
      await this.#files.syncDirectory(this.#directory);
    }
    this.#saved = state;
    this.#isLoaded = true;
    return state;
  }

  /**
   * On return the state is durable; after an error there is this state or the one before. States are written one
   * after another, in the order of the calls.
   *
   * @throws AssertionError for a state that goes back behind the one before: that would break a promise
   */
  save(state: PersistentState): Promise<void> {
    const saving = this.#queue.then(() => this.#save(state));
    // Whoever called learns of a failure; the next one is written all the same.
    this.#queue = saving.catch(() => undefined);
    return saving;
  }

  async #save(state: PersistentState): Promise<void> {
    if (!this.#isLoaded)
      throw new AssertionError('a control file is saved that has not been loaded', this.#place);
    if (this.#saved !== undefined) assertGoesOn(this.#saved, state, this.path);
    await replaceFile(this.#files, this.#directory, CONTROL_FILE_NAME, encodeControlFile(state));
    this.#saved = state;
  }

  get #place(): { readonly file: string } {
    return { file: this.path };
  }
}

/**
 * Reads the control file of a timeline, without taking care of it; undefined where there is none.
 * @throws CorruptionError where it is not what a store has written
 */
export async function readControlFile(files: Files, directory: string): Promise<PersistentState | undefined> {
  const path = `${directory}/${CONTROL_FILE_NAME}`;
  try {
    await using file = await files.open(path);
    if (file.sizeBytes > CONTROL_FILE_BYTES_MAX) {
      throw new CorruptionError('BAD_CONTROL_FILE', `the file has ${file.sizeBytes} bytes`, { file: path });
    }
    const bytes = new Uint8Array(file.sizeBytes);
    return decodeControlFile(bytes.subarray(0, await file.read(bytes, 0, bytes.length, 0)), path);
  } catch (error) {
    if (error instanceof VarveError && error.kind === 'not-found') return undefined;
    throw error;
  }
}

/** What a safekeeper has promised must not be forgotten: its votes, what is committed, and who decides. */
function assertGoesOn(before: PersistentState, after: PersistentState, file: string): void {
  const goesBack =
    after.term < before.term ||
    after.commitLsn < before.commitLsn ||
    after.membership.generation < before.membership.generation;
  if (goesBack)
    throw new AssertionError('term, commit LSN or membership of a control file would go back', { file });
  if (after.tenantId !== before.tenantId || after.timelineId !== before.timelineId) {
    throw new AssertionError('a control file would become that of another timeline', { file });
  }
}
