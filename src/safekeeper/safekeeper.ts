import { VarveError } from '../base/errors.ts';
import { Gate as Inside, type Pass } from '../base/gate.ts';
import type { Lsn } from '../base/lsn.ts';
import { TaskSet } from '../base/task-set.ts';
import { ACCEPTOR_MESSAGE_BYTES_MAX } from '../contracts/acceptor-messages.ts';
import type { Gate } from '../contracts/token.ts';
import type { TokenVerifier } from '../http/token-verifier.ts';
import type { Clock } from '../io/clock.ts';
import { lockDirectory } from '../io/directory-lock.ts';
import type { Files } from '../io/files.ts';
import { Limiter } from '../io/limiter.ts';
import type { ObjectStore } from '../io/objects.ts';
import type { Random } from '../io/random.ts';
import type { Connection, Listener, ServerIdentity, SocketAddress, Sockets } from '../io/sockets.ts';
import { ServerConnection } from '../libpq/server/server-connection.ts';
import type { Logger } from '../observe/log.ts';
import { WalWorkspace } from '../postgres/wal/workspace.ts';
import type { Backup } from './backup/backup.ts';
import { BucketAdministration } from './backup/bucket-administration.ts';
import { BucketReader } from './backup/bucket-reader.ts';
import { type Identity, SafekeeperCommands } from './front-door/commands.ts';
import { peerKindOf, type SafekeeperMetrics } from './metrics.ts';
import { Peers } from './peers/peers.ts';
import type { PeerSettings } from './peers/peers-options.ts';
import type { AcceptorMeter } from './timeline/durable-acceptor.ts';
import type { ResidentTimeline } from './timeline/timeline.ts';
import { Timelines } from './timeline/timelines.ts';
import { UPKEEP_DEFAULTS, type UpkeepSettings } from './upkeep/settings.ts';
import { Upkeep } from './upkeep/upkeep.ts';

/** What of the upkeep is not said is as UPKEEP_DEFAULTS has it. */
export interface SafekeeperConfiguration extends Partial<UpkeepSettings> {
  /** The number by which configurations name this safekeeper. */
  readonly nodeId: number;
  /** Everything that it keeps is below it. */
  readonly directory: string;
  /** Where proposers, pageservers, standbys and other safekeepers connect. */
  readonly listenPg: SocketAddress;
  /** A second such door, which opens to tokens of one tenant only. */
  readonly listenPgTenantOnly?: SocketAddress;
  /** TLS on these doors; those who ask for none are then refused. */
  readonly identity?: ServerIdentity;
  /** How it gets on with the other safekeepers. */
  readonly peers?: PeerSettings;
}

export interface SafekeeperDoors {
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly sockets: Sockets;
  readonly logger: Logger;
  readonly metrics: SafekeeperMetrics;
  /** Without it, everybody who can connect is let in. */
  readonly verifier?: TokenVerifier;
  /** Several safekeepers of one thread may share one. */
  readonly workspace?: WalWorkspace;
  /** Where WAL is backed up. Whoever has opened it closes it. */
  readonly objects?: ObjectStore;
}

/**
 * One safekeeper: keeps WAL of many timelines for whoever is elected to write it, and serves it. Everything that goes
 * on in it has ended when `close` settles.
 */
export class Safekeeper {
  readonly configuration: SafekeeperConfiguration;
  readonly timelines: Timelines;
  readonly upkeep: Upkeep;
  readonly peers: Peers;
  /** undefined where there is no object store. */
  readonly walBackup: BucketAdministration | undefined;
  readonly #walReader: BucketReader;
  readonly #doors: SafekeeperDoors;
  readonly #life = new AbortController();
  readonly #connections = new TaskSet();
  readonly #requests = new Inside('the safekeeper');
  readonly #resources = new AsyncDisposableStack();
  #lastConnectionId = 0;
  #address: SocketAddress | undefined;
  #tenantOnlyAddress: SocketAddress | undefined;

  private constructor(
    configuration: SafekeeperConfiguration,
    doors: SafekeeperDoors,
    parts: {
      readonly timelines: Timelines;
      readonly upkeep: Upkeep;
      readonly peers: Peers;
      readonly backup: Backup | undefined;
    },
  ) {
    const { timelines, upkeep, peers, backup } = parts;
    const { signal } = this.#life;
    this.configuration = configuration;
    this.#doors = doors;
    this.timelines = timelines;
    this.upkeep = upkeep;
    this.peers = peers;
    this.#walReader = new BucketReader(doors.objects, signal);
    this.walBackup = backup && new BucketAdministration({ backup, timelines, upkeep, signal });
  }

  /**
   * Takes the directory over, reads which timelines there are, and listens.
   * @throws VarveError ‘conflict’ where another process has the directory, ‘precondition’ / WRONG_NODE where it is
   * another safekeeper's
   */
  static async start(configuration: SafekeeperConfiguration, doors: SafekeeperDoors): Promise<Safekeeper> {
    const { directory, nodeId } = configuration;
    const { files, sockets, clock, metrics } = doors;
    const workspace = doors.workspace ?? new WalWorkspace();
    await using starting = new AsyncDisposableStack();
    starting.use(await lockDirectory(sockets, files, directory, { service: 'safekeeper', nodeId }));
    const settings: UpkeepSettings = { ...UPKEEP_DEFAULTS, ...configuration };
    const backup = backupOf(configuration, doors, settings, workspace);
    const peers = new Peers({ ...doors, nodeId, settings: configuration.peers ?? {} });
    const upkeep = new Upkeep({ ...doors, nodeId, settings, peers, backup });
    const timelines = await Timelines.load({
      nodeId,
      directory,
      files,
      clock,
      workspace,
      timelineDoors: {
        restore: (timeline, acceptor) => upkeep.restore(timeline, acceptor),
        onReceiverCount: (change) => metrics.walReceivers.add(change),
        meter: meterOf(clock, metrics),
        onUse: (timeline, isInUse) => upkeep.noteUse(timeline, isInUse),
        onOpen: (timeline, acceptor) => peers.open(timeline, acceptor),
      },
    });
    const safekeeper = new Safekeeper(configuration, doors, { timelines, upkeep, peers, backup });
    starting.defer(() => timelines.close());
    starting.defer(() => upkeep.close());
    starting.defer(() => peers.close());
    await safekeeper.#listen(starting);
    peers.begin(timelines);
    upkeep.begin(timelines.all());
    safekeeper.#resources.use(starting.move());
    return safekeeper;
  }

  /** Where the libpq door listens, with the port that was taken. */
  get address(): SocketAddress {
    return this.#address as SocketAddress;
  }

  /** Where the door for tokens of one tenant listens, if there is one. */
  get tenantOnlyAddress(): SocketAddress | undefined {
    return this.#tenantOnlyAddress;
  }

  /** Aborted when this safekeeper begins to close. */
  get signal(): AbortSignal {
    return this.#life.signal;
  }

  /** Ends all connections, saves all timelines and lets go of the directory. May be called again. */
  async close(): Promise<void> {
    this.#life.abort(new VarveError('cancelled', 'CLOSING', 'the safekeeper is closing'));
    // Some connections may wait for WAL from the bucket.
    this.upkeep.cancel();
    await Promise.all([this.#connections.settled(), this.#requests.close()]);
    await this.#resources.disposeAsync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Lets in who is about to change something or to look at it, but for the libpq doors. The safekeeper keeps its
   * directory until all are out; who takes long obeys `signal`.
   * @throws VarveError ‘cancelled’ / CLOSING
   */
  enter(): Pass {
    return this.#requests.enter();
  }

  /** Reads WAL, wherever it is; as WalStorage.read. */
  readWal(
    timeline: ResidentTimeline,
    target: Uint8Array,
    start: number,
    length: number,
    lsn: Lsn,
  ): Promise<number> {
    return this.#walReader.read(timeline, target, start, length, lsn);
  }

  async #listen(resources: AsyncDisposableStack): Promise<void> {
    const { listenPg, listenPgTenantOnly } = this.configuration;
    const listener = await this.#listenAt(listenPg, 'safekeeper');
    resources.use(listener);
    this.#address = listener.address;
    if (listenPgTenantOnly !== undefined) {
      const tenantOnly = await this.#listenAt(listenPgTenantOnly, 'safekeeper-tenant-only');
      resources.use(tenantOnly);
      this.#tenantOnlyAddress = tenantOnly.address;
    }
  }

  #listenAt(address: SocketAddress, gate: Gate): Promise<Listener> {
    const { clock, logger, metrics } = this.#doors;
    const commands = new SafekeeperCommands({
      timelines: this.timelines,
      clock,
      logger,
      receiverMetrics: {
        gauges: { messages: metrics.walReceiverQueueDepthTotal, bytes: metrics.walReceiverQueueSizeTotal },
        observeQueueDepth: (messages) => metrics.walReceiverQueueDepth.observe(messages),
      },
      gate,
      readWal: (...range) => this.readWal(...range),
      onSenderCount: (change, applicationName) =>
        metrics.walReaders.of('task', targetOf(applicationName)).add(change),
      onCommand: (kind) => countCommand(metrics, kind),
      status: {
        nodeId: this.configuration.nodeId,
        board: this.peers.board,
        onTold: (timelineCount) => metrics.brokerPushedUpdates.add(timelineCount),
      },
      nextConnectionId: () => ++this.#lastConnectionId,
    });
    return this.#doors.sockets.listen(address, (connection) => this.#serve(connection, commands));
  }

  #serve(connection: Connection, commands: SafekeeperCommands): void {
    if (this.#life.signal.aborted) connection.close();
    else this.#connections.run(() => this.#run(connection, commands));
  }

  async #run(connection: Connection, commands: SafekeeperCommands): Promise<void> {
    const { clock, verifier, logger } = this.#doors;
    const { identity } = this.configuration;
    const server = new ServerConnection<Identity>(connection, commands, {
      clock,
      authentication:
        verifier === undefined
          ? { mode: 'trust', identity: undefined }
          : { mode: 'token', authenticate: (token) => verifier.verify(token) },
      bodyBytesMax: ACCEPTOR_MESSAGE_BYTES_MAX,
      ...(identity === undefined ? {} : { tls: { identity } }),
    });
    const ending = await server.run(this.#life.signal);
    if (ending.kind !== 'error') return;
    logger.info('a connection ended with an error', { peer: connection.peer, error: ending.error.message });
  }
}

function meterOf(clock: Clock, metrics: SafekeeperMetrics): AcceptorMeter {
  return {
    nowMs: () => clock.monotonicMs(),
    onWrite(lengthBytes, durationS) {
      metrics.writeWalBytes.observe(lengthBytes);
      metrics.writeWalSeconds.observe(durationS);
    },
    onFlush: (durationS) => metrics.flushWalSeconds.observe(durationS),
    onPersist: (durationS) => metrics.persistControlFileSeconds.observe(durationS),
  };
}

/** Counts a command that begins; its end with what is returned. */
function countCommand(metrics: SafekeeperMetrics, kind: string): () => void {
  metrics.pgQueriesReceived.of(kind).increment();
  return () => metrics.pgQueriesFinished.of(kind).increment();
}

/** Who reads WAL, of those that are told apart. */
function targetOf(applicationName: string): string {
  const kind = peerKindOf(applicationName);
  if (kind === 'pageserver' || kind === 'safekeeper') return kind;
  return kind === 'other' || kind === 'unnamed' ? 'other' : 'compute';
}

function backupOf(
  { nodeId }: SafekeeperConfiguration,
  { objects, files, clock, metrics }: SafekeeperDoors,
  settings: UpkeepSettings,
  workspace: WalWorkspace,
): Backup | undefined {
  if (objects === undefined) return undefined;
  return {
    objects,
    nodeId,
    files,
    clock,
    metrics,
    workspace,
    uploads: new Limiter(settings.backupParallelJobs),
    deletesOffloadedWal: settings.deleteOffloadedWal,
  };
}
