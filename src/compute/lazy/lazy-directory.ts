import { Buffer } from 'node:buffer';
import { AssertionError, BadRequestError, VarveError } from '../../base/errors.ts';
import type { StartSetFork, StartSetSlruSegment } from '../../contracts/start-set.ts';
import { throwIfCancelled, untilCancelled } from '../../io/cancelled.ts';
import type { Files, UpdatableFile } from '../../io/files.ts';
import { readWholeFile } from '../../io/read-whole-file.ts';
import type { Servers } from '../../io/servers.ts';
import type { Listener, Sockets } from '../../io/sockets.ts';
import { formatDatabasePath } from '../../postgres/files/relation-file-name.ts';
import { DEFAULT_TABLESPACE, GLOBAL_TABLESPACE } from '../../postgres/files/relation-locator.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import type { PageSource } from '../page-source.ts';
import { type FileKey, FileList } from './file-list.ts';
import { READ_FIRST, READ_FIRST_BLOCKS_MAX, READ_FIRST_DATABASES_MAX, TEMPLATES } from './first-reads.ts';
import {
  CONTROL_FILE,
  encodeSharedHeader,
  FILE_LAZY,
  GUARDED_CONTROL_FILE,
  HAS_CHECKSUMS_OFFSET,
  HOLDS_WAL_OFFSET,
  IS_COMPLETE_OFFSET,
  LIST_FILE,
  SHARED_BYTES_WITH_GROWN,
  SHARED_FILE,
  SHIM_FILE,
  SOCKET_FILE,
  sharedBytes,
  stateOffset,
  WAL_FREE,
  WAL_HELD,
  WAL_SLOWED,
} from './format.ts';
import { PageReads } from './page-reads.ts';
import {
  type GivePermission,
  type GiveReport,
  ShimConnection,
  type ShimRequests,
} from './shim-connection.ts';

const EVICTOR_VARIABLE = 'VARVE_SHIM_EVICTOR';
/** sun_path holds so many, and a zero byte. */
const SOCKET_PATH_BYTES_MAX = 107;

export interface LazyDirectoryOptions {
  /**
   * Holds the list of files, what is known of their blocks, the socket and the shim. It must not be there, nor be within
   * the data directory.
   */
  readonly directory: string;
  readonly dataDirectory: string;
  readonly version: PostgresVersion;
  /** Path of the shim: findShim. */
  readonly shim: string;
  readonly pages: PageSource;
  /** Whether blocks may be given back: then an evictor can be run. */
  readonly givesBack?: boolean;
  /** Told of what the server gets as an I/O error. */
  readonly onFailed: (error: Error) => void;
}

export interface LazyDoors {
  readonly files: Files;
  readonly sockets: Sockets;
  readonly servers: Pick<Servers, 'makeDirectory' | 'giveAll'>;
}

/**
 * The agent's side of pages on demand: what a server under the shim finds in the file system is made when it is first
 * opened, and its blocks when they are first read. docs/formats/lazy-directory.md has the rules.
 */
export class LazyDirectory implements AsyncDisposable {
  readonly #options: LazyDirectoryOptions;
  readonly #doors: LazyDoors;
  readonly #list = new FileList();
  readonly #life = new AbortController();
  readonly #reads: PageReads;
  readonly #connections = new Set<ShimConnection>();
  readonly #ended = Promise.withResolvers<Error | undefined>();
  readonly #complete = Promise.withResolvers<void>();
  /** Resolves when the list has grown. */
  #grown = Promise.withResolvers<void>();
  #isComplete = false;
  #shared: UpdatableFile | undefined;
  #sharedPages = 0;
  /** Of each SLRU; segments come in order. */
  readonly #lastSegments = new Map<string, number>();
  /** Forks come in the order of their directories. */
  #lastMade = '';
  #listener: Listener | undefined;
  #serverPid: number | undefined;
  #isWalHeld = false;
  #isWalSlowed = false;
  #giver: ((report: GiveReport) => Promise<GivePermission>) | undefined;
  #blocksAgain = 0;
  #closed: Promise<void> | undefined;

  private constructor(options: LazyDirectoryOptions, doors: LazyDoors) {
    this.#options = options;
    this.#doors = doors;
    this.#reads = new PageReads(options.pages, this.#list, this.#life.signal);
  }

  /**
   * Makes the directory and listens in it.
   * @throws BadRequestError BAD_PATH for a path that a server cannot be told; as Servers.makeDirectory; the disk's;
   *   ‘cancelled’
   */
  static async open(
    options: LazyDirectoryOptions,
    doors: LazyDoors,
    signal: AbortSignal,
  ): Promise<LazyDirectory> {
    checkPaths(options);
    throwIfCancelled(signal);
    const lazy = new LazyDirectory(options, doors);
    try {
      await lazy.#make();
      throwIfCancelled(signal);
      return lazy;
    } catch (error) {
      await lazy.close();
      throw error;
    }
  }

  /** For the server's process, and for no other. */
  get environment(): Readonly<Record<string, string>> {
    const { directory, dataDirectory } = this.#options;
    return {
      LD_PRELOAD: `${directory}/${SHIM_FILE}`,
      VARVE_SHIM_DIRECTORY: directory,
      VARVE_SHIM_DATA: dataDirectory,
    };
  }

  /** The process that runs with the shim; undefined as long as none has said so. */
  get serverPid(): number | undefined {
    return this.#serverPid;
  }

  /** Resolves when nothing is served any more, with why if nobody has closed it. */
  get ended(): Promise<Error | undefined> {
    return this.#ended.promise;
  }

  /**
   * Files that exist, in the order of a start set. The server may run already: what it looks for and is not known yet, it
   * waits for.
   */
  async addForks(forks: readonly StartSetFork[]): Promise<void> {
    this.#assertGrowing();
    await this.#makeDirectories(forks);
    this.#list.addForks(forks);
    await this.#grow();
  }

  /** A segment of an SLRU whose file is laid out, and whose pages are not. Before the server is started. */
  async addSlruSegment(segment: StartSetSlruSegment): Promise<void> {
    this.#assertGrowing();
    const number = this.#list.addSlruSegment(segment);
    await this.#grow();
    this.#setByte(stateOffset(number), FILE_LAZY);
    this.#lastSegments.set(segment.slru, number);
  }

  /** The list is whole: from here on the server finds what is in it by itself. */
  async finishForks(): Promise<void> {
    this.#assertGrowing();
    const { files, servers } = this.#doors;
    await using file = await files.openForUpdate(this.#path(LIST_FILE));
    let position = 0;
    for (const chunk of this.#list.encode()) {
      await file.write(chunk, 0, chunk.length, position);
      position += chunk.length;
    }
    await servers.giveAll(this.#options.directory);
    this.#setByte(IS_COMPLETE_OFFSET, 1);
    this.#isComplete = true;
    this.#complete.resolve();
    this.#readFirst();
    this.#grown.resolve();
  }

  /** What every server reads at its start and in a first session: it waits for one block after the other otherwise. */
  #readFirst(): void {
    const databases = new Set<number>();
    for (const { number, database } of this.#list.mainForksOf(READ_FIRST)) {
      if (TEMPLATES.has(database)) continue;
      databases.add(database);
      if (databases.size > READ_FIRST_DATABASES_MAX) return;
      this.#reads.prefetch(number, 0, READ_FIRST_BLOCKS_MAX);
    }
  }

  /**
   * Gives the control file, which has to be there, the name that only the shim knows: from here on no server starts in the
   * data directory without it.
   */
  async guard(): Promise<void> {
    // Its recovery ends with a look at what each of them has last: before all else.
    for (const number of this.#lastSegments.values()) this.#reads.prefetchSegment(number);
    const { dataDirectory } = this.#options;
    await this.#doors.files.rename(
      `${dataDirectory}/${CONTROL_FILE}`,
      `${dataDirectory}/${GUARDED_CONTROL_FILE}`,
    );
  }

  /** While it holds, whoever writes WAL waits. */
  holdWal(holds: boolean): void {
    this.#isWalHeld = holds;
    this.#setWal();
  }

  /** WAL is written slowly, at a megabyte or so in a second. */
  slowWal(slows: boolean): void {
    this.#isWalSlowed = slows;
    this.#setWal();
  }

  #setWal(): void {
    const slowed = this.#isWalSlowed ? WAL_SLOWED : WAL_FREE;
    this.#setByte(HOLDS_WAL_OFFSET, this.#isWalHeld ? WAL_HELD : slowed);
  }

  /** Before the server is started: its pages' LSNs tell of all that is to be kept of them. */
  noteChecksums(): void {
    this.#setByte(HAS_CHECKSUMS_OFFSET, 1);
  }

  /** What a process of the server's account is to see in its environment so that it is the evictor, and does nothing else. */
  get evictorEnvironment(): Readonly<Record<string, string>> {
    return { ...this.environment, [EVICTOR_VARIABLE]: '1' };
  }

  /** Blocks that were read again after they had been given back. */
  get blocksAgain(): number {
    return this.#blocksAgain;
  }

  /** Who answers the evictor. It is told no LSN that is higher than that at which pages are read from then on. */
  answerEvictor(giver: (report: GiveReport) => Promise<GivePermission>): void {
    this.#giver = giver;
  }

  /** Serves nothing any more. The server gets an I/O error for what it has not read. */
  close(): Promise<void> {
    this.#closed ??= this.#close(undefined);
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #make(): Promise<void> {
    const { files, sockets, servers } = this.#doors;
    const { directory, shim } = this.#options;
    await servers.makeDirectory(directory);
    const content = await readWholeFile(files, shim);
    await using copy = await files.openForUpdate(this.#path(SHIM_FILE));
    await copy.write(content, 0, content.length, 0);
    const header = encodeSharedHeader(this.#options.givesBack === true);
    this.#shared = await files.openForUpdate(this.#path(SHARED_FILE));
    if (this.#shared.sizeBytes > 0) throw new AssertionError('a lazy directory is used again');
    await this.#shared.write(header, 0, header.length, 0);
    const { givesBack } = this.#options;
    await this.#shared.resize(givesBack === true ? SHARED_BYTES_WITH_GROWN : sharedBytes(0));
    this.#listener = await sockets.listen({ path: this.#path(SOCKET_FILE) }, (connection) => {
      const accepted = new ShimConnection(connection, this.#requests, (closed) =>
        this.#connections.delete(closed),
      );
      this.#connections.add(accepted);
    });
    await servers.giveAll(directory);
  }

  readonly #requests: ShimRequests = {
    onHello: (pid) => {
      this.#serverPid = pid;
    },
    find: (key, signal) => this.#find(key, signal),
    untilListed: (signal) => untilCancelled(signal, this.#complete.promise),
    read: (number, block, count, target, signal) => this.#reads.read(number, block, count, target, signal),
    prefetch: (number, block, count) => this.#reads.prefetch(number, block, count),
    readAgain: async (key, block, count, aheadCount, target, signal) => {
      await this.#reads.readAgain(key, block, count, aheadCount, target, signal);
      this.#blocksAgain += count;
    },
    prefetchAgain: (key, block, count) => this.#reads.prefetchAgain(key, block, count),
    give: (report) => this.#give(report),
    onFailed: (error) => this.#options.onFailed(error),
  };

  async #give(report: GiveReport): Promise<GivePermission> {
    if (this.#giver === undefined) throw new BadRequestError('BAD_REQUEST', 'nobody has started an evictor');
    const permission = await this.#giver(report);
    // Of a block that is given back from here on another version may have been read ahead than the one that goes.
    if (permission.giveBytes > 0) this.#reads.dropAhead();
    return permission;
  }

  async #find(key: FileKey, signal: AbortSignal): Promise<Uint8Array | undefined> {
    for (;;) {
      const number = this.#list.find(key);
      // Its words have to be within the shared file before anybody looks at them.
      if (number !== undefined && this.#sharedPages >= this.#list.presencePages)
        return this.#list.encodeEntry(number);
      if (number === undefined && (this.#isComplete || this.#list.isPast(key))) return undefined;
      await untilCancelled(signal, this.#grown.promise);
    }
  }

  /** Of databases in tablespaces, which only the files in them tell of: those of others hold a file of their own. */
  async #makeDirectories(forks: readonly StartSetFork[]): Promise<void> {
    const { files, servers } = this.#doors;
    for (const { relation } of forks) {
      const { tablespace, database } = relation;
      if (tablespace === DEFAULT_TABLESPACE || tablespace === GLOBAL_TABLESPACE) continue;
      const path = `${this.#options.dataDirectory}/${formatDatabasePath(this.#options.version, tablespace, database)}`;
      if (this.#lastMade === path) continue;
      await files.makeDirectory(path);
      await servers.giveAll(path);
      this.#lastMade = path;
    }
  }

  async #grow(): Promise<void> {
    const pages = this.#list.presencePages;
    if (pages > this.#sharedPages) {
      if (this.#options.givesBack !== true) await this.#openShared().resize(sharedBytes(pages));
      this.#sharedPages = pages;
    }
    this.#grown.resolve();
    this.#grown = Promise.withResolvers();
  }

  #assertGrowing(): void {
    if (this.#isComplete) throw new AssertionError('a list of files that is whole gets another one');
  }

  #openShared(): UpdatableFile {
    if (this.#shared === undefined || this.#closed !== undefined)
      throw new VarveError('cancelled', 'CLOSING', 'the lazy directory is closed');
    return this.#shared;
  }

  #setByte(offset: number, value: number): void {
    this.#openShared().writeNow(Uint8Array.of(value), 0, 1, offset);
  }

  #path(name: string): string {
    return `${this.#options.directory}/${name}`;
  }

  async #close(reason: Error | undefined): Promise<void> {
    this.#life.abort();
    await this.#listener?.close();
    for (const connection of this.#connections) connection.close();
    await this.#shared?.close();
    this.#ended.resolve(reason);
  }
}

/** LD_PRELOAD is a list that blanks and colons divide, and an address of a socket is short. */
function checkPaths({ directory, dataDirectory }: LazyDirectoryOptions): void {
  for (const path of [directory, dataDirectory]) {
    if (!path.startsWith('/') || path.split('/').some((part, index) => index > 0 && /^\.{0,2}$/.test(part)))
      throw new BadRequestError('BAD_PATH', 'this has to be an absolute path without empty parts', {
        file: path,
      });
  }
  if (/[\s:]/.test(directory))
    throw new BadRequestError('BAD_PATH', 'a server cannot be told of a path with blanks or colons', {
      file: directory,
    });
  if (Buffer.byteLength(`${directory}/${SOCKET_FILE}`) > SOCKET_PATH_BYTES_MAX)
    throw new BadRequestError('BAD_PATH', 'the path is too long for a socket in it', { file: directory });
}
