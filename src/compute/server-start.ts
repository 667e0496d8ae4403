import { BadRequestError, VarveError } from '../base/errors.ts';
import { formatLsn, INVALID_LSN, type Lsn } from '../base/lsn.ts';
import type { ServerProgram } from '../io/servers.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { getPostgresVersion } from '../postgres/versions/version.ts';
import type { ProposerOptions } from '../proposer/options.ts';
import { Proposer } from '../proposer/proposer.ts';
import { AuxiliaryKeeper } from './auxiliary-keeper.ts';
import { ComputeDirectory } from './compute-directory.ts';
import type { DataDirectory } from './data-directory.ts';
import { type FillProgress, PageFiller } from './fill-pages.ts';
import { DEFAULT_BUDGET_PART, DISK_WAIT_MS_DEFAULT, DiskBudget } from './lazy/disk-budget.ts';
import { LazyDirectory } from './lazy/lazy-directory.ts';
import { LsnLease } from './lsn-lease.ts';
import type { ComputeDoors, ComputeOptions } from './options.ts';
import { PageServiceSource } from './page-source.ts';
import { untilReady } from './postgres-process.ts';
import { PrimaryDuties } from './primary-duties.ts';
import { findReadOnlyLsn } from './read-only-lsn.ts';
import { ReadPosition, type StorageProgress } from './read-position.ts';
import { RecoveryWatch } from './recovery-watch.ts';
import { checkSettings, commandLine, SOCKET_DIRECTORY_BYTES_MAX } from './server-settings.ts';
import { untilCaughtUp } from './standby-catch-up.ts';
import { connectToStarted, type StartContext } from './start-context.ts';
import { type Listing, nextRecordLsn, StartSetIntake } from './start-set-intake.ts';
import { type StepTime, StepTimes } from './step-times.ts';
import { StoragePatience } from './storage-patience.ts';

const READY_TIMEOUT_MS = 60_000;
/** Free space maps come while the server starts. Where there are very many the rest comes while it runs. */
const MAPS_WAIT_MS = 20;
/** Of what the server prints; it is kept twice. */
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;
/** Of the disk's budget; and what the server needs at least, and has otherwise (max_wal_size). */
const WAL_PART = 0.25;
const WAL_SEGMENTS_MIN = 2;
const WAL_BYTES_DEFAULT: number = 1024 * 1024 * 1024;
/** An election that takes longer is spoken of. */
const ELECTION_PATIENCE_MS = 1000;

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
  /** Keeps what the server has on its disk below a limit. */
  readonly budget: DiskBudget | undefined;
  /** Looks after a server that has to stay in recovery. */
  readonly watch: RecoveryWatch | undefined;
  /** Keeps what a primary has beside WAL. */
  readonly keeper: AuxiliaryKeeper | undefined;
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
  readonly #context: StartContext;
  readonly #patience: StoragePatience;
  readonly #startSet: StartSetIntake;
  #budgetBytes: number | undefined;

  constructor(options: ComputeOptions, doors: ComputeDoors, signal: AbortSignal, onFill: FillProgress) {
    this.#options = options;
    this.#doors = doors;
    this.#signal = signal;
    this.#onFill = onFill;
    this.#directory = new ComputeDirectory(options.directory, doors);
    this.#times = new StepTimes(doors.clock);
    const [directory, times, undo] = [this.#directory, this.#times, this.#undo];
    this.#context = { options, doors, signal, directory, times, undo };
    this.#patience = new StoragePatience(doors);
    this.#startSet = new StartSetIntake(this.#context, this.#patience);
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
      await this.#checkPort();
      this.#budgetBytes = await this.#findBudget();
      const { mode } = this.#options;
      this.#startSet.connectAhead(storageSignal);
      const proposer = mode.kind === 'primary' ? await this.#elect(storageSignal) : undefined;
      const pastLsn = mode.kind === 'read-only' ? await this.#findLsn(mode, storageSignal) : undefined;
      const early = pastLsn === undefined ? undefined : await this.#takeLease(pastLsn, storageSignal);
      const wantedLsn = pastLsn ?? proposer?.startLsn;
      // Of a primary it is known before the start set is there.
      const sources =
        proposer === undefined ? undefined : this.#openSources(nextRecordLsn(proposer.startLsn));
      const { cluster, listing } = await this.#startSet.layOut(wantedLsn, storageSignal);
      const lsn = cluster.header.recordEndLsn;
      const isLeased = early === undefined && this.#options.shim !== undefined;
      const leasing = isLeased ? this.#beginLease(lsn, storageSignal, () => timer.cancel()) : undefined;
      if (leasing === undefined) timer.cancel();
      const parameters = commandLine(
        { ...this.#options, settings: { ...this.#walSettings(), ...this.#options.settings } },
        this.#directory.socketPath,
        await cluster.leastSettings(),
      );
      const { pages, opening } = sources ?? this.#openSources(lsn);
      const keeping = proposer === undefined ? undefined : this.#beginToKeep(cluster, listing, proposer);
      const lazy = await this.#bringPages(cluster, listing, pages, opening);
      const listed = lazy === undefined ? undefined : this.#fillList(lazy, listing);
      await this.#times.time('hand over', () => this.#doors.servers.giveAll(cluster.path));
      const program = await this.#runServer(parameters, lazy);
      const duties = proposer === undefined ? undefined : new PrimaryDuties(this.#context, proposer, program);
      if (duties !== undefined) {
        await this.#times.time('attach', () => duties.attach(cluster.header));
        await duties.applySpec();
        duties.guardSubscriptions();
      }
      if (listed !== undefined) await this.#times.time('list', () => listed);
      const keeper = await keeping;
      await keeper?.broughtWithin(MAPS_WAIT_MS);
      const lease = leasing === undefined ? early : await this.#times.time('lease', () => leasing);
      if (lazy !== undefined) duties?.holdBack(lazy);
      const watch = proposer === undefined ? this.#watchRecovery() : undefined;
      const isStandby = mode.kind === 'standby';
      if (isStandby) await this.#times.time('catch up', () => this.#catchUp());
      const position = this.#moveUp(lsn, lease, pages, isStandby ? watch : proposer);
      const budget = this.#limitDisk(lazy, pages, position);
      this.#doors.logger.info('The server runs', { lsn: formatLsn(lsn) });
      const { steps } = this.#times;
      return {
        directory: this.#directory,
        program,
        lsn,
        proposer,
        lease,
        lazy,
        budget,
        keeper,
        watch,
        steps,
        all: this.#undo.move(),
      };
    } catch (error) {
      const isLate = storage.signal.aborted && !this.#signal.aborted;
      await this.#undo[Symbol.asyncDispose]();
      if (isLate) throw this.#patience.timedOut(this.#options, error);
      throw error;
    } finally {
      timer.cancel();
    }
  }

  async #elect(signal: AbortSignal): Promise<Proposer> {
    const { clock, logger } = this.#doors;
    const timer = clock.setTimer(ELECTION_PATIENCE_MS, () =>
      logger.warn('A quorum of safekeepers is waited for', { safekeepers: this.#options.membership.members }),
    );
    const election = Proposer.elect(electionOptions(this.#options), this.#doors, signal);
    const proposer = await this.#times.time('elect', () => election.finally(() => timer.cancel()));
    this.#undo.defer(() => proposer.close());
    return proposer;
  }

  async #findLsn(mode: Parameters<typeof findReadOnlyLsn>[1], signal: AbortSignal): Promise<Lsn> {
    if ('lsn' in mode) return mode.lsn;
    return await this.#times.time('find', () =>
      this.#patience.until(signal, () => findReadOnlyLsn(this.#options, mode, this.#doors, signal)),
    );
  }

  #watchRecovery(): RecoveryWatch {
    const connect = (signal: AbortSignal): Promise<ClientConnection> =>
      connectToStarted(this.#context, 'postgres', signal);
    return this.#undo.use(new RecoveryWatch(this.#options, connect, this.#doors));
  }

  /** What was committed before a standby is said to be ready is seen there. */
  async #catchUp(): Promise<void> {
    const client = await connectToStarted(this.#context);
    try {
      await untilCaughtUp(this.#options, client, this.#doors, this.#signal);
    } finally {
      await client.close();
    }
  }

  async #takeLease(lsn: Lsn, signal: AbortSignal): Promise<LsnLease> {
    const lease = await this.#times.time('lease', () =>
      this.#patience.until(signal, () => LsnLease.take(this.#options, lsn, this.#doors, signal)),
    );
    this.#undo.defer(() => lease.close());
    return lease;
  }

  /**
   * It is waited for at the end of the start: until then the server is let read what nothing keeps, which is there, or
   * refused.
   */
  #beginLease(lsn: Lsn, signal: AbortSignal, onTaken: () => void): Promise<LsnLease> {
    const life = new AbortController();
    const either = AbortSignal.any([signal, life.signal]);
    const leasing = this.#patience.until(either, () =>
      LsnLease.take(this.#options, lsn, this.#doors, either),
    );
    // Whoever waits for it is told what it fails of.
    leasing.then(onTaken, () => undefined);
    this.#undo.defer(async () => {
      life.abort();
      const lease = await leasing.catch(() => undefined);
      await lease?.close();
    });
    return leasing;
  }

  /** What brings pages: it needs to know of the start set only the LSN. */
  #openSources(lsn: Lsn): { pages: PageServiceSource; opening: Promise<LazyDirectory> | undefined } {
    const pages = this.#undo.use(new PageServiceSource(this.#options, lsn, this.#doors));
    pages.connectAhead();
    const { shim } = this.#options;
    if (shim === undefined) return { pages, opening: undefined };
    const opening = this.#openLazy(shim, pages);
    // Whoever brings pages through it is told what it fails of.
    opening.catch(() => undefined);
    this.#undo.defer(async () => {
      const lazy = await opening.catch(() => undefined);
      await lazy?.close();
    });
    return { pages, opening };
  }

  #openLazy(shim: string, pages: PageServiceSource): Promise<LazyDirectory> {
    const { logger } = this.#doors;
    return LazyDirectory.open(
      {
        directory: this.#directory.lazyPath,
        dataDirectory: this.#directory.dataPath,
        version: getPostgresVersion(this.#options.postgresMajor),
        shim,
        pages,
        givesBack: this.#budgetBytes !== undefined,
        onFailed: (error) => logger.error('The server could not be given a page', { error }),
      },
      this.#doors,
      this.#signal,
    );
  }

  #beginToKeep(
    { header }: DataDirectory,
    listing: Listing,
    proposer: Proposer,
  ): Promise<AuxiliaryKeeper | undefined> {
    const commitLsn = (): Lsn => proposer.commitLsn;
    const keeping = listing.then(({ forks }) => {
      if (this.#undo.disposed) return undefined;
      const options = { compute: this.#options, directory: this.#directory, header, forks, commitLsn };
      return this.#undo.use(new AuxiliaryKeeper(options, this.#doors));
    });
    // The list is waited for before.
    keeping.catch(() => undefined);
    return keeping;
  }

  /** All of them now, or each when it is first read. */
  async #bringPages(
    cluster: DataDirectory,
    listing: Listing,
    pages: PageServiceSource,
    opening: Promise<LazyDirectory> | undefined,
  ): Promise<LazyDirectory | undefined> {
    if (opening === undefined) {
      const version = getPostgresVersion(cluster.header.postgresMajor);
      const filler = new PageFiller(this.#doors.files, cluster, version, pages, this.#signal);
      await this.#times.time('fill', async () => filler.fill(await listing, this.#onFill));
      return undefined;
    }
    return await this.#times.time('guard', async () => {
      const lazy = await opening;
      if (cluster.header.hasDataChecksums) lazy.noteChecksums();
      for (const segment of cluster.segments) await lazy.addSlruSegment(segment);
      await lazy.guard();
      return lazy;
    });
  }

  /** While the server starts: what it opens of relations waits for it. */
  #fillList(lazy: LazyDirectory, listing: Listing): Promise<void> {
    const filling = listing.then(async ({ forks }) => {
      await lazy.addForks(forks);
      await lazy.finishForks();
    });
    // Whoever waits for it is told what it fails of.
    filling.catch(() => undefined);
    return filling;
  }

  /** undefined for a server of the past. */
  #moveUp(
    lsn: Lsn,
    lease: LsnLease | undefined,
    pages: PageServiceSource,
    progress: StorageProgress | undefined,
  ): ReadPosition | undefined {
    if (lease === undefined || progress === undefined) return undefined;
    const { clock, logger } = this.#doors;
    return this.#undo.use(new ReadPosition(lsn, { lease, pages }, progress, clock, logger));
  }

  /** undefined where all pages are brought before the start, and stay. */
  async #findBudget(): Promise<number | undefined> {
    const { shim, diskBudgetBytes, directory } = this.#options;
    if (shim === undefined) return undefined;
    if (diskBudgetBytes !== undefined) return diskBudgetBytes;
    const { availableBytes } = await this.#doors.files.space(directory);
    return Math.floor(availableBytes * DEFAULT_BUDGET_PART);
  }

  /** WAL that the server keeps must leave room for the rest of its files. */
  #walSettings(): Readonly<Record<string, string>> {
    if (this.#budgetBytes === undefined) return {};
    const segments = Math.floor((this.#budgetBytes * WAL_PART) / this.#options.walSegmentBytes);
    const bytes = Math.max(segments, WAL_SEGMENTS_MIN) * this.#options.walSegmentBytes;
    return bytes < WAL_BYTES_DEFAULT ? { max_wal_size: `${Math.floor(bytes / 1024)}kB` } : {};
  }

  async #checkpoint(signal: AbortSignal): Promise<void> {
    const client = await connectToStarted(this.#context, 'postgres', signal);
    try {
      await client.query('CHECKPOINT');
    } finally {
      await client.close();
    }
  }

  #limitDisk(
    lazy: LazyDirectory | undefined,
    pages: PageServiceSource,
    position: ReadPosition | undefined,
  ): DiskBudget | undefined {
    if (this.#budgetBytes === undefined || lazy === undefined) return undefined;
    const options = {
      budgetBytes: this.#budgetBytes,
      waitMs: this.#options.diskWaitMs ?? DISK_WAIT_MS_DEFAULT,
      program: `${this.#options.binDirectory}/postgres`,
      directory: this.#directory.dataPath,
      outputPath: `${this.#directory.lazyPath}/evictor.log`,
      checkpoint: (signal: AbortSignal) => this.#checkpoint(signal),
      ...{ lazy, pages, position },
    };
    return this.#undo.use(new DiskBudget(options, this.#doors));
  }

  async #runServer(parameters: readonly string[], lazy: LazyDirectory | undefined): Promise<ServerProgram> {
    const { binDirectory } = this.#options;
    const { dataPath, outputPath } = this.#directory;
    return await this.#times.time('server', async () => {
      await this.#options.releasePort?.();
      const program = await this.#doors.servers.start(
        `${binDirectory}/postgres`,
        ['-D', dataPath, ...parameters],
        {
          directory: dataPath,
          outputPath,
          outputBytesMax: OUTPUT_BYTES_MAX,
          environment: { LC_ALL: 'C', ...lazy?.environment },
        },
      );
      this.#undo.defer(() => program.kill());
      await this.#directory.remember(program.identity);
      const running = { program, dataDirectory: dataPath, outputPath };
      await untilReady(running, this.#doors, READY_TIMEOUT_MS, this.#signal);
      return program;
    });
  }

  /** Nobody is fenced for a server that could not listen. */
  async #checkPort(): Promise<void> {
    const { listen, releasePort } = this.#options;
    if (releasePort !== undefined) return;
    try {
      await using _listener = await this.#doors.sockets.listen(listen, (connection) => connection.close());
    } catch (error) {
      if (!(error instanceof VarveError) || error.code !== 'ADDRESS_IN_USE') throw error;
      const reason = `somebody else listens at port ${listen.port} of ${listen.host}`;
      throw new VarveError('conflict', 'PORT_IN_USE', reason, {}, error);
    }
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
