import { VarveError } from '../base/errors.ts';
import { formatLsn, type Lsn } from '../base/lsn.ts';
import { PACKED_STATISTICS_PATH } from '../contracts/auxiliary-path.ts';
import { type AuxiliaryObject, AuxiliaryStreamDecoder } from '../contracts/auxiliary-stream.ts';
import type { StartSetFork, StartSetHeader } from '../contracts/start-set.ts';
import { pause } from '../io/retry-delay.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { connectPageService } from '../page-client/connect-page-service.ts';
import { copyFromPageService } from '../page-client/page-commands.ts';
import { putAuxiliaryObjects } from '../page-client/put-auxiliary.ts';
import type { RelationLocator } from '../postgres/files/relation-locator.ts';
import { getPostgresVersion } from '../postgres/versions/version.ts';
import { FORK_MAIN } from '../postgres/wal/record-header.ts';
import type { ComputeDirectory } from './compute-directory.ts';
import { FreeSpaceMaps } from './free-space-maps.ts';
import type { ComputeDoors, ComputeOptions } from './options.ts';
import { pageServiceOptions } from './page-service-options.ts';
import { packStatistics } from './statistics-file.ts';

/** What has changed since is saved so often: a server writes its maps out at checkpoints. */
const SAVE_INTERVAL_MS = 300_000;
/** A stop waits no longer. */
const LAST_SAVE_MS = 5000;

export interface KeeperOptions {
  readonly compute: Pick<ComputeOptions, 'tenantId' | 'timelineId' | 'pageserver' | 'mode'>;
  readonly directory: ComputeDirectory;
  readonly header: StartSetHeader;
  /** What exists at the start. */
  readonly forks: readonly StartSetFork[];
  /** A quorum has all below. */
  readonly commitLsn: () => Lsn;
}

type KeeperDoors = Pick<ComputeDoors, 'files' | 'sockets' | 'clock' | 'random' | 'logger' | 'servers'>;

/**
 * Keeps in storage what a server has beside WAL: brings the free space maps that an earlier compute has left, and saves them,
 * now and then and in the end; and the statistics in the end. None of it is worth a failure: what cannot be had is done
 * without, and said.
 */
export class AuxiliaryKeeper implements AsyncDisposable {
  readonly #options: Omit<KeeperOptions, 'forks'>;
  readonly #doors: KeeperDoors;
  readonly #maps: FreeSpaceMaps;
  readonly #life = new AbortController();
  readonly #bringing: Promise<void>;
  readonly #running: Promise<void>;

  constructor({ forks, ...options }: KeeperOptions, doors: KeeperDoors) {
    this.#options = options;
    this.#doors = doors;
    this.#maps = new FreeSpaceMaps({
      files: doors.files,
      path: options.directory.dataPath,
      version: getPostgresVersion(options.header.postgresMajor),
      hasDataChecksums: options.header.hasDataChecksums,
    });
    this.#bringing = this.#orWarn('The free space maps could not be brought', this.#life.signal, () =>
      this.#bring(forks),
    );
    this.#running = this.#run();
  }

  /** Resolves when the maps are there, but not later than that. */
  async broughtWithin(limitMs: number): Promise<void> {
    const waited = new AbortController();
    await Promise.race([this.#bringing, pause(this.#doors.clock, limitMs, waited.signal)]);
    waited.abort();
  }

  /**
   * The server has ended in order, and a quorum has its WAL up to there. The statistics are of this LSN, and of no other.
   * @param isAllCommitted whether the server has no WAL behind it
   */
  async saveLast(endLsn: Lsn, isAllCommitted: boolean, killed: AbortSignal): Promise<void> {
    await this[Symbol.asyncDispose]();
    const { clock } = this.#doors;
    const limit = new AbortController();
    const timer = clock.setTimer(LAST_SAVE_MS, () => limit.abort());
    const signal = AbortSignal.any([killed, limit.signal]);
    try {
      await this.#orWarn('Free space maps and statistics could not be saved', killed, () =>
        this.#save(this.#all(isAllCommitted), endLsn, true, signal),
      );
    } finally {
      timer.cancel();
    }
  }

  /** What is under way is given up. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort();
    await this.#bringing;
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#life;
    await this.#bringing;
    for (;;) {
      await pause(this.#doors.clock, SAVE_INTERVAL_MS, signal);
      if (signal.aborted) return;
      await this.#orWarn('The free space maps could not be saved', signal, () =>
        this.#save(this.#maps.changes(), this.#options.commitLsn(), false, signal),
      );
    }
  }

  async #bring(forks: readonly StartSetFork[]): Promise<void> {
    const { compute, directory, header } = this.#options;
    const { tenantId, timelineId } = compute;
    const { logger, servers } = this.#doors;
    const command = { kind: 'FreeSpaceMaps', tenantId, timelineId, lsn: header.recordEndLsn } as const;
    await servers.makeDirectory(directory.mapsPath);
    const count = await this.#connected(this.#life.signal, (connection) =>
      this.#maps.layOut(decoded(copyFromPageService(connection, command)), {
        directory: directory.mapsPath,
        giveAll: () => servers.giveAll(directory.mapsPath),
        isWanted: permanentRelations(forks),
      }),
    );
    if (count > 0) logger.info('The free space maps of an earlier compute are there', { count });
  }

  /** Statistics first: they are worth nothing any later. */
  async *#all(isAllCommitted: boolean): AsyncGenerator<AuxiliaryObject, void> {
    if (isAllCommitted) {
      const content = await this.#packStatistics();
      if (content !== undefined) yield { path: PACKED_STATISTICS_PATH, content };
    }
    yield* this.#maps.changes();
  }

  async #packStatistics(): Promise<Uint8Array | undefined> {
    try {
      return await packStatistics(this.#doors.files, this.#options.directory.dataPath);
    } catch (error) {
      if (!(error instanceof VarveError) || error.code !== 'STATISTICS_TOO_LARGE') throw error;
      this.#doors.logger.warn('The statistics cannot be saved', { reason: error.message });
      return undefined;
    }
  }

  /** Does not connect where there is nothing to be saved. */
  async #save(
    objects: AsyncGenerator<AuxiliaryObject, void>,
    lsn: Lsn,
    isDurable: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const first = await objects.next();
    if (first.done === true) return;
    const { tenantId, timelineId } = this.#options.compute;
    const command = { kind: 'PutAuxiliary', tenantId, timelineId, lsn, isDurable } as const;
    let count: number;
    try {
      count = await this.#connected(signal, (connection) =>
        putAuxiliaryObjects(connection, command, startingWith(first.value, objects)),
      );
    } finally {
      await objects.return();
    }
    this.#maps.confirm();
    this.#doors.logger.debug('What is beside WAL is saved', { lsn: formatLsn(lsn), count });
  }

  async #connected<Result>(
    signal: AbortSignal,
    action: (connection: ClientConnection) => Promise<Result>,
  ): Promise<Result> {
    const options = pageServiceOptions(this.#options.compute, signal);
    const connection = await connectPageService(this.#doors, options);
    try {
      return await action(connection);
    } finally {
      await connection.close();
    }
  }

  /** Nothing is said of what was given up. */
  async #orWarn(message: string, givenUp: AbortSignal, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      if (!givenUp.aborted) this.#doors.logger.warn(message, { reason: error.message });
    }
  }
}

/** Whether a relation is there and permanent: an unlogged one begins empty. */
function permanentRelations(forks: readonly StartSetFork[]): (relation: RelationLocator) => boolean {
  let names: Set<string> | undefined;
  return (relation) => {
    names ??= new Set(
      forks
        .filter(({ fork, contentFork }) => fork === FORK_MAIN && contentFork === FORK_MAIN)
        .map((each) => nameOf(each.relation)),
    );
    return names.has(nameOf(relation));
  };
}

const nameOf = ({ tablespace, database, relation }: RelationLocator): string =>
  `${tablespace}/${database}/${relation}`;

async function* decoded(stream: AsyncIterable<Uint8Array>): AsyncGenerator<AuxiliaryObject, void> {
  const decoder = new AuxiliaryStreamDecoder();
  for await (const chunk of stream) yield* decoder.push(chunk);
  decoder.finish();
}

async function* startingWith(
  first: AuxiliaryObject,
  rest: AsyncGenerator<AuxiliaryObject, void>,
): AsyncGenerator<AuxiliaryObject, void> {
  yield first;
  yield* rest;
}
