import { dirname } from 'node:path';
import { AssertionError, CorruptionError } from '../base/errors.ts';
import type {
  StartSetFork,
  StartSetHeader,
  StartSetItem,
  StartSetSlruSegment,
} from '../contracts/start-set.ts';
import { StartSetDecoder } from '../contracts/start-set-decoder.ts';
import type { Files, UpdatableFile } from '../io/files.ts';
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
  readonly #files: Files;
  readonly #segments: StartSetSlruSegment[] = [];
  readonly #forks: StartSetFork[] = [];
  readonly #made = new Set<string>();
  #preparedTransactions = 0;
  #header: StartSetHeader | undefined;
  #onReady: () => void = () => undefined;
  #file: UpdatableFile | undefined;
  /** Nobody waits for one of them before the last. */
  readonly #closing: Promise<void>[] = [];

  constructor(files: Files, path: string) {
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
    try {
      for await (const chunk of startSet) {
        for (const item of decoder.push(chunk)) await this.#take(item);
      }
      decoder.finish();
    } finally {
      await this.#close();
    }
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
  async makeParents(path: string): Promise<string> {
    const parent = dirname(path);
    if (!this.#made.has(parent)) {
      await this.#files.makeDirectory(`${this.path}/${parent}`);
      this.#made.add(parent);
    }
    return `${this.path}/${path}`;
  }

  async #take(item: StartSetItem): Promise<void> {
    switch (item.kind) {
      case 'header':
        this.#header = item.header;
        break;
      case 'directories':
        await Promise.all(item.paths.map((path) => this.#files.makeDirectory(`${this.path}/${path}`)));
        for (const path of item.paths) this.#made.add(path);
        break;
      case 'slru-segment':
        this.#segments.push(item.file);
        await this.#begin(item.file.path, item.file.sizeBytes);
        break;
      case 'file':
        if (item.file.path.startsWith('pg_twophase/')) this.#preparedTransactions++;
        await this.#begin(item.file.path, item.file.sizeBytes);
        break;
      case 'piece':
        this.#put(item.bytes, item.offset);
        break;
      case 'ready':
        await this.#close();
        this.#onReady();
        break;
      case 'forks':
        this.#forks.push(...item.forks);
        break;
      case 'end':
        break;
    }
  }

  async #begin(path: string, sizeBytes: number): Promise<void> {
    this.#letGo();
    this.#file = await this.#files.openForUpdate(await this.makeParents(path));
    await this.#file.resize(sizeBytes);
  }

  #put(bytes: Uint8Array, offset: number): void {
    if (this.#file === undefined) throw new CorruptionError('BAD_START_SET', 'a piece of no file has come');
    // It is at most a frame long.
    this.#file.writeNow(bytes, 0, bytes.length, offset);
  }

  #letGo(): void {
    const closing = this.#file?.close();
    this.#file = undefined;
    if (closing === undefined) return;
    // What it fails of is told to whoever waits for all of them.
    closing.catch(() => undefined);
    this.#closing.push(closing);
  }

  async #close(): Promise<void> {
    this.#letGo();
    await Promise.all(this.#closing.splice(0));
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
