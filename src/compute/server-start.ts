import { BadRequestError, VarveError } from '../base/errors.ts';
import { formatLsn, INVALID_LSN, type Lsn } from '../base/lsn.ts';
import type { StartSetHeader } from '../contracts/start-set.ts';
import { throwIfCancelled, untilCancelled } from '../io/cancelled.ts';
import { pause, RetryDelay } from '../io/retry-delay.ts';
import type { ServerProgram } from '../io/servers.ts';
import { connectPageService } from '../page-client/connect-page-service.ts';
import { copyFromPageService } from '../page-client/page-commands.ts';
import { getPostgresVersion } from '../postgres/versions/version.ts';
import type { ProposerOptions } from '../proposer/options.ts';
import { PostgresSource } from '../proposer/postgres-source.ts';
import { Proposer } from '../proposer/proposer.ts';
import { ComputeDirectory } from './compute-directory.ts';
import { connectToServer } from './connect-to-server.ts';
import { DataDirectory, type Remainder } from './data-directory.ts';
import { type FillProgress, PageFiller } from './fill-pages.ts';
import { LazyDirectory } from './lazy/lazy-directory.ts';
import { LsnLease } from './lsn-lease.ts';
import type { ComputeDoors, ComputeOptions } from './options.ts';
import { pageServiceOptions } from './page-service-options.ts';
import { PageServiceSource } from './page-source.ts';
import { untilReady } from './postgres-process.ts';
import { ReadPosition } from './read-position.ts';
import {
  checkSettings,
  commandLine,
  hostBasedAuthenticationText,
  PROPOSER_NAME,
  SOCKET_DIRECTORY_BYTES_MAX,
  SUPERUSER,
  settingsText,
  standbySettings,
} from './server-settings.ts';
import { type StepTime, StepTimes } from './step-times.ts';

/** A stock server's directory that storage has made stays on its first timeline. */
const POSTGRES_TIMELINE_ID = 1;
const READY_TIMEOUT_MS = 60_000;
/** MAXIMUM_ALIGNOF */
const RECORD_ALIGNMENT = 8;
const STORAGE_RETRY = { minMs: 50, maxMs: 2000 };

/** A server that runs, with all that has to be ended with it. */
export interface StartedServer {
  readonly directory: ComputeDirectory;
  readonly program: ServerProgram;
  /** Where the server began. */
  readonly lsn: Lsn;
  /** Takes the WAL of a primary. */
  readonly proposer: Proposer | undefined;
  /** Keeps readable what a server of the past reads, and what is brought on demand. */
  readonly lease: LsnLease | undefined;
  /** Brings pages when they are first read. */
  readonly lazy: LazyDirectory | undefined;
  /** Ends all of that at once, and removes what is left. */
  readonly all: AsyncDisposable;
  readonly steps: readonly StepTime[];
}

/** The way to a server that runs. What was begun is ended where it does not get there. */
export class ServerStart {
  readonly #options: ComputeOptions;
  readonly #doors: ComputeDoors;
  readonly #signal: AbortSignal;
  readonly #onFill: FillProgress;
  readonly #directory: ComputeDirectory;
  readonly #times: StepTimes;
  readonly #undo = new AsyncDisposableStack();

  constructor(options: ComputeOptions, doors: ComputeDoors, signal: AbortSignal, onFill: FillProgress) {
    this.#options = options;
    this.#doors = doors;
    this.#signal = signal;
    this.#onFill = onFill;
    this.#directory = new ComputeDirectory(options.directory, doors);
    this.#times = new StepTimes(doors.clock);
  }

  /** @throws as Compute.start */
  async run(): Promise<StartedServer> {
    const { clock } = this.#doors;
    // All that storage has to do has one limit; what waits for it obeys the signal.
    const storage = new AbortController();
    const timer = clock.setTimer(this.#options.storageWaitMs, () => storage.abort());
    const storageSignal = AbortSignal.any([this.#signal, storage.signal]);
    try {
      checkSettings(this.#options);
      this.#checkSocketPath();
      await this.#times.time('prepare', () => this.#directory.prepare());
      this.#undo.defer(() => this.#directory.clear());
      const { mode } = this.#options;
      const proposer = mode.kind === 'primary' ? await this.#elect(storageSignal) : undefined;
      const early = mode.kind === 'read-only' ? await this.#takeLease(mode.lsn, storageSignal) : undefined;
      const wantedLsn = mode.kind === 'read-only' ? mode.lsn : proposer?.startLsn;
      const { cluster, remainder } = await this.#layOut(wantedLsn, storageSignal);
      const lsn = cluster.header.recordEndLsn;
      const lease =
        early ?? (this.#options.shim === undefined ? undefined : await this.#takeLease(lsn, storageSignal));
      timer.cancel();
      const parameters = commandLine(
        this.#options,
        this.#directory.socketPath,
        await cluster.leastSettings(),
      );
      const pages = this.#undo.use(new PageServiceSource(this.#options, lsn, this.#doors));
      const lazy = await this.#bringPages(cluster, remainder, pages);
      await this.#times.time('hand over', () => this.#doors.servers.giveAll(cluster.path));
      const program = await this.#runServer(parameters, lazy);
      if (proposer !== undefined) {
        await this.#times.time('attach', () => this.#attach(proposer, program, cluster.header));
      }
      if (proposer !== undefined && lease !== undefined) {
        this.#undo.use(new ReadPosition(lsn, { lease, pages }, proposer, clock, this.#doors.logger));
      }
      this.#doors.logger.info('The server runs', { lsn: formatLsn(lsn) });
      const { steps } = this.#times;
      return {
        directory: this.#directory,
        program,
        lsn,
        proposer,
        lease,
        lazy,
        steps,
        all: this.#undo.move(),
      };
    } catch (error) {
      await this.#undo[Symbol.asyncDispose]();
      if (storage.signal.aborted && !this.#signal.aborted) throw storageTimedOut(this.#options, error);
      throw error;
    } finally {
      timer.cancel();
    }
  }

  async #elect(signal: AbortSignal): Promise<Proposer> {
    const proposer = await this.#times.time('elect', () =>
      Proposer.elect(electionOptions(this.#options), this.#doors, signal),
    );
    this.#undo.defer(() => proposer.close());
    return proposer;
  }

  async #takeLease(lsn: Lsn, signal: AbortSignal): Promise<LsnLease> {
    const lease = await this.#times.time('lease', () =>
      this.#patiently(signal, () => LsnLease.take(this.#options, lsn, this.#doors, signal)),
    );
    this.#undo.defer(() => lease.close());
    return lease;
  }

  async #layOut(
    lsn: Lsn | undefined,
    signal: AbortSignal,
  ): Promise<{ cluster: DataDirectory; remainder: Remainder }> {
    const cluster = new DataDirectory(this.#doors.files, this.#directory.dataPath);
    const remainder = await this.#times.time('start set', () =>
      this.#patiently(signal, () => this.#takeStartSet(cluster, lsn, signal)),
    );
    this.#check(cluster.header, lsn);
    await this.#writeTexts(cluster);
    return { cluster, remainder };
  }

  /** All of them now, or each when it is first read. */
  async #bringPages(
    cluster: DataDirectory,
    remainder: Remainder,
    pages: PageServiceSource,
  ): Promise<LazyDirectory | undefined> {
    const { shim } = this.#options;
    const version = getPostgresVersion(cluster.header.postgresMajor);
    if (shim === undefined) {
      const filler = new PageFiller(this.#doors.files, cluster, version, pages, this.#signal);
      await this.#times.time('fill', () => filler.fill(remainder, this.#onFill));
      return undefined;
    }
    return await this.#times.time('list', async () => {
      const { logger } = this.#doors;
      const lazy = await LazyDirectory.open(
        {
          directory: this.#directory.lazyPath,
          dataDirectory: cluster.path,
          version,
          shim,
          pages,
          onFailed: (error) => logger.error('The server could not be given a page', { error }),
        },
        this.#doors,
        this.#signal,
      );
      this.#undo.use(lazy);
      for (const segment of remainder.segments) await lazy.addSlruSegment(segment);
      await lazy.guard();
      await lazy.addForks(remainder.forks);
      await lazy.finishForks();
      return lazy;
    });
  }

  /** Does what a pageserver that is away for a moment makes fail. */
  async #patiently<Result>(signal: AbortSignal, action: () => Promise<Result>): Promise<Result> {
    const { clock, random, logger } = this.#doors;
    const retry = new RetryDelay(STORAGE_RETRY, random);
    for (;;) {
      throwIfCancelled(signal);
      try {
        return await action();
      } catch (error) {
        if (!(error instanceof VarveError) || error.kind !== 'unavailable') throw error;
        logger.warn('The pageserver does not answer yet', { reason: error.message });
      }
      await untilCancelled(signal, pause(clock, retry.nextMs(), signal));
    }
  }

  async #takeStartSet(
    directory: DataDirectory,
    lsn: Lsn | undefined,
    signal: AbortSignal,
  ): Promise<Remainder> {
    const { tenantId, timelineId } = this.#options;
    directory.begin();
    await this.#doors.files.removeDirectory(directory.path);
    await this.#doors.servers.makeDirectory(directory.path);
    const connection = await connectPageService(this.#doors, pageServiceOptions(this.#options, signal));
    try {
      const form = this.#options.mode.kind;
      const at = lsn === undefined ? {} : { lsn };
      const command = { kind: 'StartSet', tenantId, timelineId, ...at, form } as const;
      return await directory.layOut(copyFromPageService(connection, command));
    } finally {
      await connection.close();
    }
  }

  #check(header: StartSetHeader, startLsn: Lsn | undefined): void {
    const { postgresMajor, walSegmentBytes } = this.#options;
    if (header.postgresMajor !== postgresMajor) {
      const reason = `the branch is of PostgreSQL ${header.postgresMajor}, the programs are of ${postgresMajor}`;
      throw new VarveError('precondition', 'WRONG_POSTGRES_MAJOR', reason);
    }
    if (header.walSegmentBytes !== walSegmentBytes) {
      const reason = `the branch's WAL is in segments of ${header.walSegmentBytes} bytes, not ${walSegmentBytes}`;
      throw new VarveError('precondition', 'WRONG_SEGMENT_SIZE', reason);
    }
    // Records are aligned, and what a log has behind the last one is nothing.
    // What is asked for of the past is rounded down to the end of a record.
    if (startLsn === undefined || this.#options.mode.kind === 'read-only') return;
    // Records are aligned, and what a log has behind the last one is nothing.
    if (header.recordEndLsn !== Math.ceil(startLsn / RECORD_ALIGNMENT) * RECORD_ALIGNMENT) {
      const reason = `storage begins at ${formatLsn(header.recordEndLsn)}, and the election has given ${formatLsn(startLsn)}`;
      throw new VarveError('conflict', 'WRONG_START', reason, { lsn: startLsn });
    }
  }

  async #writeTexts(directory: DataDirectory): Promise<void> {
    const { settings, hostBasedAuthentication, mode } = this.#options;
    const standby = mode.kind === 'standby' ? await standbySettings(this.#options) : {};
    const texts = {
      'postgresql.conf': settingsText({ ...settings, ...standby }),
      'pg_hba.conf': hostBasedAuthenticationText(hostBasedAuthentication),
      'pg_ident.conf': '',
      // The server would say that it is missing, at each start.
      'postgresql.auto.conf': '',
    };
    for (const [name, text] of Object.entries(texts)) {
      const bytes = new TextEncoder().encode(text);
      await using file = await this.#doors.files.openForUpdate(`${directory.path}/${name}`);
      await file.write(bytes, 0, bytes.length, 0);
    }
  }

  async #runServer(parameters: readonly string[], lazy: LazyDirectory | undefined): Promise<ServerProgram> {
    const { binDirectory, mode } = this.#options;
    const { dataPath, outputPath } = this.#directory;
    return await this.#times.time('server', async () => {
      const program = await this.#doors.servers.start(
        `${binDirectory}/postgres`,
        ['-D', dataPath, ...parameters],
        { directory: dataPath, outputPath, environment: { LC_ALL: 'C', ...lazy?.environment } },
      );
      this.#undo.defer(() => program.kill());
      await this.#directory.remember(program.identity);
      const running = { program, dataDirectory: dataPath, outputPath };
      await untilReady(running, this.#doors, READY_TIMEOUT_MS, this.#signal);
      if (mode.kind === 'primary') await this.#makeSlot();
      return program;
    });
  }

  /** From now on the server keeps all WAL that the proposer has not read. */
  async #makeSlot(): Promise<void> {
    const client = await connectToServer(
      this.#directory,
      this.#options,
      this.#doors,
      'postgres',
      this.#signal,
    );
    try {
      await client.query(`SELECT pg_create_physical_replication_slot('${PROPOSER_NAME}', true)`);
    } finally {
      await client.close();
    }
  }

  /** The first WAL of the server is the checkpoint that it began at: when that is committed, so will be what follows. */
  async #attach(proposer: Proposer, program: ServerProgram, header: StartSetHeader): Promise<void> {
    const { listen } = this.#options;
    const { systemIdentifier, walSegmentBytes, postgresMajor } = header;
    const source = new PostgresSource(
      {
        address: { path: `${this.#directory.socketPath}/.s.PGSQL.${listen.port}` },
        user: SUPERUSER,
        password: undefined,
        applicationName: PROPOSER_NAME,
        slot: PROPOSER_NAME,
        expectations: { systemIdentifier, timelineId: POSTGRES_TIMELINE_ID, segmentBytes: walSegmentBytes },
      },
      this.#doors,
    );
    const committed = Promise.withResolvers<void>();
    using _listening = proposer.onCommit((lsn) => {
      if (lsn > proposer.startLsn) committed.resolve();
    });
    proposer.attach(source, { pgVersion: postgresMajor * 10_000, systemIdentifier });
    const ended = Promise.race([
      proposer.ended.then((error) => {
        throw error ?? new VarveError('cancelled', 'CLOSING', 'the proposer was closed');
      }),
      program.ended.then((how) => {
        throw new VarveError('unavailable', 'POSTGRES_ENDED', `the server ended: ${how}`);
      }),
    ]);
    // Whichever ends later has nobody left to tell.
    ended.catch(() => undefined);
    await untilCancelled(this.#signal, Promise.race([committed.promise, ended]));
  }

  #checkSocketPath(): void {
    const { socketPath } = this.#directory;
    if (Buffer.byteLength(socketPath) <= SOCKET_DIRECTORY_BYTES_MAX) return;
    const reason = `the directory's name is too long for a socket below it (${SOCKET_DIRECTORY_BYTES_MAX} bytes)`;
    throw new BadRequestError('DIRECTORY_NAME_TOO_LONG', reason, { file: socketPath });
  }
}

function electionOptions({
  tenantId,
  timelineId,
  membership,
  walSegmentBytes,
  safekeeperToken,
  safekeeperTls,
}: ComputeOptions): ProposerOptions {
  return {
    tenantId,
    timelineId,
    membership,
    // The start set says what the server is.
    pgVersion: 0,
    systemIdentifier: 0n,
    segmentBytes: walSegmentBytes,
    initialLsn: INVALID_LSN,
    // Somebody has made the timeline, or there is nothing to start from.
    allowTimelineCreation: false,
    ...(safekeeperToken === undefined ? {} : { password: safekeeperToken }),
    ...(safekeeperTls === undefined ? {} : { tls: safekeeperTls }),
  };
}

function storageTimedOut({ storageWaitMs }: ComputeOptions, cause: unknown): VarveError {
  const reason = `storage has not brought a start within ${storageWaitMs} ms: are a quorum of safekeepers and the pageserver there?`;
  return new VarveError('unavailable', 'STORAGE_TIMEOUT', reason, {}, cause);
}
