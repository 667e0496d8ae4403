import { type TransferredError, toTransferredError } from '../../base/error-transfer.ts';
import { CorruptionError, VarveError } from '../../base/errors.ts';
import type { Files } from '../../io/files.ts';
import { Page } from '../../postgres/page/page.ts';
import { getPostgresVersion, type PostgresVersion } from '../../postgres/versions/version.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import { formatKey, type Key } from '../keyspace/key.ts';
import { isPageKey } from '../keyspace/keys.ts';
import { ValueApplier } from '../layers/apply-value.ts';
import { FoundValues } from '../layers/found-values.ts';
import { findRedoCase, writeRedoCase } from '../layers/redo-failure-case.ts';
import type { KeyHistory } from './key-history.ts';

/** A key that no image could be made of, and why. Plain data. */
export interface FailedKey {
  readonly key: Key;
  readonly error: TransferredError;
}

/** So many keys may fail in one job, which goes on without them; with more, something else must be wrong. */
const FAILED_KEYS_MAX = 1000;
/** Cases of failed replay that a job writes. */
const REDO_CASES_MAX = 10;

/** Makes pages of histories, and keeps account of those that cannot be made. */
export class PageMaker {
  /** What was made last. */
  readonly page: Page = new Page(new Uint8Array(BLOCK_BYTES));
  readonly view: DataView = new DataView(this.page.bytes.buffer);
  readonly failedKeys: FailedKey[] = [];
  readonly #version: PostgresVersion;
  readonly #applier: ValueApplier;
  readonly #found = new FoundValues();
  readonly #files: Files;
  readonly #failureDirectory: string | undefined;
  #redoCaseCount = 0;

  /** @param failureDirectory where what could not be replayed is kept for looking into */
  constructor(postgresMajor: number, files: Files, failureDirectory: string | undefined) {
    this.#version = getPostgresVersion(postgresMajor);
    this.#applier = new ValueApplier(this.#version);
    this.#files = files;
    this.#failureDirectory = failureDirectory;
  }

  /**
   * Makes the page as of the history's value of `index`. False: it cannot be made, which has been noted.
   * @throws CorruptionError where too many cannot
   */
  async make(key: Key, history: KeyHistory, index: number): Promise<boolean> {
    history.copyTo(this.#found, index);
    try {
      if (!isPageKey(key)) throw noImage(key, history.lsnOf(index));
      this.#applier.reconstruct(key, this.#found, this.page);
      return true;
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind !== 'corruption') throw error;
      await this.#note(key, withLayer(error, history));
      return false;
    }
  }

  async #note(key: Key, error: VarveError): Promise<void> {
    if (this.failedKeys.length === FAILED_KEYS_MAX) throw error;
    this.failedKeys.push({ key, error: toTransferredError(error) });
    if (this.#failureDirectory === undefined || this.#redoCaseCount === REDO_CASES_MAX) return;
    const redoCase = findRedoCase(this.#version, key, this.#found, error.message);
    if (redoCase === undefined) return;
    this.#redoCaseCount++;
    await writeRedoCase(this.#files, this.#failureDirectory, key, redoCase);
  }
}

const noImage = (key: Key, lsn: number): CorruptionError =>
  new CorruptionError('BAD_VALUE', 'the newest value of what is no page is no image', {
    page: formatKey(key),
    lsn,
  });

/** The same error, with the layer that the value came from. */
function withLayer(error: VarveError, history: KeyHistory): VarveError {
  const file = error.place.lsn === undefined ? undefined : history.findName(error.place.lsn);
  if (file === undefined) return error;
  return new CorruptionError(error.code, error.reason, { file, ...error.place }, error.cause);
}
