import { dirname } from 'node:path';
import { AssertionError, CorruptionError } from '../base/errors.ts';
import type {
  StartSetFork,
  StartSetHeader,
  StartSetItem,
  StartSetSlruSegment,
} from '../contracts/start-set.ts';
import { StartSetDecoder } from '../contracts/start-set-decoder.ts';
import type { FilePiece, Files, SmallFiles } from '../io/files.ts';
import { readWholeFile } from '../io/read-whole-file.ts';
import {
  CONTROL_FILE_PATH,
  decodeControlFile,
  type ParameterSettings,
} from '../postgres/files/control-file.ts';
import { getPostgresVersion } from '../postgres/versions/version.ts';

/** What a data directory leaves to whoever laid it out. */
export interface Remainder {
  /** Segments of SLRUs that are zero where they are to be read. */
  readonly segments: readonly StartSetSlruSegment[];
  readonly forks: readonly StartSetFork[];
}

/** What a server's settings must not be below. */
export interface LeastSettings {
  /** A server in recovery refuses to have less than its primary had. */
  readonly control: ParameterSettings;
  readonly preparedTransactions: number;
}

/**
 * Lays a start set out as a data directory, which must not be there. Nothing is synced: the directory is worth nothing
 * without this process.
 */
export class DataDirectory {
  readonly path: string;
  readonly #files: Files & SmallFiles;
  readonly #segments: StartSetSlruSegment[] = [];
  readonly #forks: StartSetFork[] = [];
  readonly #made = new Set<string>();
  #preparedTransactions = 0;
  #header: StartSetHeader | undefined;
  #onReady: () => void = () => undefined;
  /** It is written when it is whole. */
  #file: { readonly path: string; readonly sizeBytes: number; readonly pieces: FilePiece[] } | undefined;

  constructor(files: Files & SmallFiles, path: string) {
    this.#files = files;
    this.path = path;
  }

  /** Another start set is to come, in place of one that broke off. */
  begin(): void {
    this.#header = undefined;
    this.#segments.length = 0;
    this.#forks.length = 0;
    this.#made.clear();
    this.#preparedTransactions = 0;
    this.#file = undefined;
  }

  /** What the server cannot start without, as its own control file and its prepared transactions say. */
  async leastSettings(): Promise<LeastSettings> {
    const bytes = await readWholeFile(this.#files, `${this.path}/${CONTROL_FILE_PATH}`);
    const version = getPostgresVersion(this.header.postgresMajor);
    const control = decodeControlFile(version, bytes);
    return { control, preparedTransactions: this.#preparedTransactions };
  }

  /**
   * Gives what it leaves out.
   * @param onReady called when all is there that a server starts from: what is still to come is the list of those files
   * @throws CorruptionError for what is no start set; what brings it fails of; the disk's
   */
  async layOut(
    startSet: AsyncIterable<Uint8Array>,
    onReady: () => void = () => undefined,
  ): Promise<Remainder> {
    this.#onReady = onReady;
    const decoder = new StartSetDecoder();
    for await (const chunk of startSet) {
      for (const item of decoder.push(chunk)) this.#take(item);
    }
    decoder.finish();
    this.#writeFile();
    return { segments: this.#segments, forks: this.#forks };
  }

  /** Segments of SLRUs that are zero where they are to be read. Once all is ready. */
  get segments(): readonly StartSetSlruSegment[] {
    return this.#segments;
  }

  /** Once there is one. */
  get header(): StartSetHeader {
    if (this.#header === undefined)
      throw new AssertionError('a start set is used before its header has come');
    return this.#header;
  }

  /** Makes the directories above a path in the data directory, and gives the whole path. */
  makeParents(path: string): string {
    const parent = dirname(path);
    if (!this.#made.has(parent)) {
      this.#files.makeDirectoryNow(`${this.path}/${parent}`);
      this.#made.add(parent);
    }
    return `${this.path}/${path}`;
  }

  #take(item: StartSetItem): void {
    switch (item.kind) {
      case 'header':
        this.#header = item.header;
        break;
      case 'directories':
        for (const path of item.paths) {
          this.#files.makeDirectoryNow(`${this.path}/${path}`);
          this.#made.add(path);
        }
        break;
      case 'slru-segment':
        this.#segments.push(item.file);
        this.#begin(item.file.path, item.file.sizeBytes);
        break;
      case 'file':
        if (item.file.path.startsWith('pg_twophase/')) this.#preparedTransactions++;
        this.#begin(item.file.path, item.file.sizeBytes);
        break;
      case 'piece':
        this.#put(item.bytes, item.offset);
        break;
      case 'ready':
        this.#writeFile();
        this.#onReady();
        break;
      case 'forks':
        this.#forks.push(...item.forks);
        break;
      case 'end':
        break;
    }
  }

  #begin(path: string, sizeBytes: number): void {
    this.#writeFile();
    this.#file = { path: this.makeParents(path), sizeBytes, pieces: [] };
  }

  #put(bytes: Uint8Array, offset: number): void {
    if (this.#file === undefined) throw new CorruptionError('BAD_START_SET', 'a piece of no file has come');
    // What it is a part of is used again.
    this.#file.pieces.push({ offset, bytes: bytes.slice() });
  }

  #writeFile(): void {
    const file = this.#file;
    this.#file = undefined;
    if (file !== undefined) this.#files.writeFileNow(file.path, file.sizeBytes, file.pieces);
  }
}

/** The list at the end of a start set, without what comes before. @throws as DataDirectory.layOut */
export async function readForks(startSet: AsyncIterable<Uint8Array>): Promise<readonly StartSetFork[]> {
  const decoder = new StartSetDecoder();
  const forks: StartSetFork[] = [];
  for await (const chunk of startSet) {
    for (const item of decoder.push(chunk)) if (item.kind === 'forks') forks.push(...item.forks);
  }
  decoder.finish();
  return forks;
}
