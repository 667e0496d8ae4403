import { AssertionError, CorruptionError, VarveError } from '../../base/errors.ts';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../base/ids.ts';
import { INVALID_LSN, type Lsn } from '../../base/lsn.ts';
import { checkMembership, isMember, type MembershipConfiguration } from '../../contracts/membership.ts';
import type { Clock } from '../../io/clock.ts';
import type { Files } from '../../io/files.ts';
import { replaceFile } from '../../io/replace-file.ts';
import { getPostgresVersion, type PostgresVersion } from '../../postgres/versions/version.ts';
import type { WalWorkspace } from '../../postgres/wal/workspace.ts';
import { Acceptor } from '../consensus/acceptor.ts';
import type { LogPosition } from '../consensus/effects.ts';
import type { PersistentState, ServerInfo } from '../consensus/persistent-state.ts';
import { ControlFileStore } from '../control-file/control-file-store.ts';
import { WalStorage } from '../wal/wal-storage.ts';
import type { AcceptorParts } from './durable-acceptor.ts';
import { Timeline, type TimelineDoors } from './timeline.ts';
import { decodeTombstone, encodeTombstone } from './tombstone.ts';

const CREATING_SUFFIX = '.creating';
const TOMBSTONE_SUFFIX = '.deleted';

/** What a new timeline is made of. */
export interface NewTimeline {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly membership: MembershipConfiguration;
  readonly server: ServerInfo;
  /** Where its WAL begins; 0 if its first proposer is to say so. */
  readonly startLsn: Lsn;
  readonly commitLsn: Lsn;
}

export interface TimelinesOptions {
  readonly nodeId: number;
  /** Everything of this safekeeper is below it. */
  readonly directory: string;
  readonly files: Files;
  readonly clock: Clock;
  readonly workspace: WalWorkspace;
  readonly timelineDoors: Omit<TimelineDoors, 'open'>;
}

/**
 * All timelines of a safekeeper. On disk each is a directory `<tenant>/<timeline>`, which is made whole under another
 * name; one that was deleted leaves a small file, its tombstone, so that it does not come back by mistake.
 */
export class Timelines {
  readonly #options: TimelinesOptions;
  readonly #timelines = new Map<string, Timeline>();
  /** Why nothing is known of a timeline that may have been deleted. It harms no other. */
  readonly #damaged = new Map<string, CorruptionError>();
  /** The generation in which each deleted timeline was removed. */
  readonly #tombstones = new Map<string, number>();
  /** What makes or removes a timeline at present. */
  readonly #changing = new Map<string, Promise<unknown>>();

  private constructor(options: TimelinesOptions) {
    this.#options = options;
  }

  /** Reads which timelines there are, and removes what a creation or a deletion that was broken off has left. */
  static async load(options: TimelinesOptions): Promise<Timelines> {
    const timelines = new Timelines(options);
    const { files, directory } = options;
    await files.makeDirectory(directory);
    // What is in it may have its name from a process that ended before that was durable.
    await files.syncDirectory(directory);
    for (const tenant of await files.list(directory)) {
      if (!/^[0-9a-f]{32}$/.test(tenant)) continue;
      await timelines.#loadTenant(parseTenantId(tenant));
    }
    return timelines;
  }

  /** Those that are not deleted. */
  all(): Iterable<Timeline> {
    return this.#timelines.values();
  }

  get count(): number {
    return this.#timelines.size;
  }

  /** @throws VarveError ‘not-found’ / TIMELINE_NOT_FOUND or TIMELINE_DELETED */
  get(tenantId: TenantId, timelineId: TimelineId): Timeline {
    const key = keyOf(tenantId, timelineId);
    const timeline = this.#timelines.get(key);
    if (timeline !== undefined) return timeline;
    const damage = this.#damaged.get(key);
    if (damage !== undefined) throw damage;
    const [code, what] = this.#tombstones.has(key)
      ? ['TIMELINE_DELETED', 'deleted']
      : ['TIMELINE_NOT_FOUND', 'not found'];
    throw new VarveError('not-found', code, `timeline ${key} ${what}`);
  }

  /** undefined where there is none; also where there was one. */
  find(tenantId: TenantId, timelineId: TimelineId): Timeline | undefined {
    return this.#timelines.get(keyOf(tenantId, timelineId));
  }

  /** The generation in which this timeline was removed from here; undefined if it was not. */
  tombstoneGeneration(tenantId: TenantId, timelineId: TimelineId): number | undefined {
    return this.#tombstones.get(keyOf(tenantId, timelineId));
  }

  /**
   * Makes a timeline, or gives the one that is there already. It is durable on return.
   * @throws VarveError ‘not-found’ / TIMELINE_DELETED where it was deleted, ‘precondition’ / NOT_A_MEMBER
   */
  async create(timeline: NewTimeline): Promise<Timeline> {
    const { tenantId, timelineId, membership } = timeline;
    checkMembership(membership);
    const { nodeId } = this.#options;
    if (membership.generation > 0 && !isMember(membership, nodeId)) {
      throw new VarveError(
        'precondition',
        'NOT_A_MEMBER',
        `safekeeper ${nodeId} is not a member of the configuration`,
      );
    }
    return this.#change(tenantId, timelineId, async () => {
      const existing = this.find(tenantId, timelineId);
      if (existing !== undefined) return existing;
      if (this.#isBarred(keyOf(tenantId, timelineId))) this.get(tenantId, timelineId);
      return this.#install(tenantId, timelineId, async (directory) => {
        const controlFile = new ControlFileStore(this.#options.files, directory);
        await controlFile.load();
        await controlFile.save(this.#initialState(timeline));
      });
    });
  }

  /**
   * Makes a timeline of files that `fill` puts into a directory, unless there is one.
   * @param newerThan a tombstone of a lower generation than this does not count
   */
  async install(
    tenantId: TenantId,
    timelineId: TimelineId,
    newerThan: number,
    fill: (directory: string) => Promise<void>,
  ): Promise<Timeline> {
    return this.#change(tenantId, timelineId, async () => {
      const existing = this.find(tenantId, timelineId);
      if (existing !== undefined) return existing;
      const key = keyOf(tenantId, timelineId);
      const removedIn = this.#tombstones.get(key);
      if (this.#damaged.has(key) || (removedIn !== undefined && removedIn >= newerThan))
        this.get(tenantId, timelineId);
      return this.#install(tenantId, timelineId, fill);
    });
  }

  /**
   * Ends a timeline's use, removes its files, and leaves a tombstone. Durable on return.
   * @param generation for the tombstone: what may bring it back is of a higher one
   * @param beforeRemoval what is to be done when nobody uses it any more, and its files are still here. If it fails,
   * the timeline stays, and may be used again
   * @returns whether there was anything to remove
   */
  async remove(
    tenantId: TenantId,
    timelineId: TimelineId,
    generation: number,
    beforeRemoval: (timeline: Timeline) => Promise<void>,
  ): Promise<boolean> {
    return this.#change(tenantId, timelineId, async () => {
      const timeline = this.find(tenantId, timelineId);
      if (timeline === undefined) return false;
      try {
        await timeline.close();
        await beforeRemoval(timeline);
      } catch (error) {
        // As after a restart: it is here until it is removed.
        this.#add(tenantId, timelineId);
        throw error;
      }
      // From here on it is deleted: if the directory is left behind by a crash, it goes at the next start.
      await this.#writeTombstone(tenantId, timelineId, generation);
      this.#timelines.delete(keyOf(tenantId, timelineId));
      const { files } = this.#options;
      await files.removeDirectory(timeline.directory);
      await files.syncDirectory(this.#tenantDirectory(tenantId));
      return true;
    });
  }

  /** Sees to it that a timeline that is not here does not come in a generation up to this one. Durable on return. */
  async keepOut(tenantId: TenantId, timelineId: TimelineId, generation: number): Promise<void> {
    await this.#change(tenantId, timelineId, async () => {
      const removedIn = this.#tombstones.get(keyOf(tenantId, timelineId));
      if (this.find(tenantId, timelineId) !== undefined || (removedIn ?? -1) >= generation) return;
      const { files, directory } = this.#options;
      await files.makeDirectory(this.#tenantDirectory(tenantId));
      await files.syncDirectory(directory);
      await this.#writeTombstone(tenantId, timelineId, generation);
    });
  }

  /**
   * Closes all timelines.
   * @throws what the first failed with, when all are closed: the directory may be another process's then
   */
  async close(): Promise<void> {
    await Promise.allSettled(this.#changing.values());
    const endings = await Promise.allSettled(
      [...this.#timelines.values()].map((timeline) => timeline.close()),
    );
    for (const ending of endings) if (ending.status === 'rejected') throw ending.reason;
  }

  async #loadTenant(tenantId: TenantId): Promise<void> {
    const { files } = this.#options;
    const directory = this.#tenantDirectory(tenantId);
    await files.syncDirectory(directory);
    const names = await files.list(directory);
    for (const name of names) {
      if (!name.endsWith(TOMBSTONE_SUFFIX)) continue;
      const timelineId = parseTimelineId(name.slice(0, -TOMBSTONE_SUFFIX.length));
      const path = `${directory}/${name}`;
      await using file = await files.open(path);
      const content = new Uint8Array(file.sizeBytes);
      await file.read(content, 0, content.length, 0);
      this.#loadTombstone(keyOf(tenantId, timelineId), content, path);
    }
    for (const name of names) {
      if (name.endsWith(CREATING_SUFFIX)) await files.removeDirectory(`${directory}/${name}`);
      if (!/^[0-9a-f]{32}$/.test(name)) continue;
      const timelineId = parseTimelineId(name);
      const key = keyOf(tenantId, timelineId);
      if (this.#tombstones.has(key)) await files.removeDirectory(`${directory}/${name}`);
      else if (!this.#damaged.has(key)) this.#add(tenantId, timelineId);
    }
  }

  /** Nothing may be made under this name. */
  #isBarred(key: string): boolean {
    return this.#tombstones.has(key) || this.#damaged.has(key);
  }

  #loadTombstone(key: string, content: Uint8Array, path: string): void {
    try {
      this.#tombstones.set(key, decodeTombstone(content, path));
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      this.#damaged.set(key, error);
    }
  }

  /** Nobody may use the timeline while it still has a tombstone: a start would take it away. */
  async #install(
    tenantId: TenantId,
    timelineId: TimelineId,
    fill: (directory: string) => Promise<void>,
  ): Promise<Timeline> {
    const { files, directory } = this.#options;
    const tenantDirectory = this.#tenantDirectory(tenantId);
    const finalDirectory = `${tenantDirectory}/${timelineId}`;
    const temporaryDirectory = finalDirectory + CREATING_SUFFIX;
    await files.removeDirectory(temporaryDirectory);
    await files.makeDirectory(temporaryDirectory);
    try {
      await fill(temporaryDirectory);
    } catch (error) {
      await files.removeDirectory(temporaryDirectory);
      throw error;
    }
    await files.syncDirectory(temporaryDirectory);
    const isComingBack = this.#tombstones.has(keyOf(tenantId, timelineId));
    // A removal, or an earlier attempt, that failed at its end may have left the directory, of which nobody was told.
    await files.removeDirectory(finalDirectory);
    await files.rename(temporaryDirectory, finalDirectory);
    await files.syncDirectory(tenantDirectory);
    await files.syncDirectory(directory);
    if (isComingBack) await this.#removeTombstone(tenantId, timelineId);
    return this.#add(tenantId, timelineId);
  }

  #add(tenantId: TenantId, timelineId: TimelineId): Timeline {
    const directory = `${this.#tenantDirectory(tenantId)}/${timelineId}`;
    const timeline = new Timeline(tenantId, timelineId, directory, {
      ...this.#options.timelineDoors,
      open: (assumed) => this.#open(directory, assumed),
    });
    this.#timelines.set(keyOf(tenantId, timelineId), timeline);
    return timeline;
  }

  async #open(directory: string, assumed?: PersistentState): Promise<AcceptorParts> {
    const { files, nodeId, workspace } = this.#options;
    const controlFile = new ControlFileStore(files, directory);
    const state = assumed ?? (await controlFile.load());
    if (state === undefined) {
      throw new CorruptionError('NO_CONTROL_FILE', 'a timeline has lost its control file', {
        file: controlFile.path,
      });
    }
    const { evictedAtLsn, server } = state;
    if (evictedAtLsn !== undefined) {
      const log = { writeLsn: evictedAtLsn, recordLsn: evictedAtLsn, flushLsn: evictedAtLsn };
      return { acceptor: makeAcceptor(nodeId, state, log, controlFile.path), wal: undefined, controlFile };
    }
    const wal = await WalStorage.open({
      files,
      directory,
      version: versionOf(server.pgVersion),
      segmentBytes: server.segmentBytes,
      systemIdentifier: server.systemIdentifier,
      commitLsn: state.commitLsn,
      timelineStartLsn: state.timelineStartLsn,
      localStartLsn: state.localStartLsn,
      workspace,
    });
    const { writeLsn, recordLsn, flushLsn } = wal;
    const log = { writeLsn, recordLsn, flushLsn };
    return { acceptor: makeAcceptor(nodeId, state, log, controlFile.path), wal, controlFile };
  }

  #initialState({
    tenantId,
    timelineId,
    membership,
    server,
    startLsn,
    commitLsn,
  }: NewTimeline): PersistentState {
    return {
      tenantId,
      timelineId,
      membership,
      term: 0,
      termHistory: startLsn === 0 ? [] : [{ term: 0, lsn: startLsn }],
      server,
      timelineStartLsn: startLsn,
      localStartLsn: startLsn,
      commitLsn,
      backupLsn: startLsn,
      peerHorizonLsn: startLsn,
      remoteConsistentLsn: INVALID_LSN,
      partialSegments: [],
      evictedAtLsn: undefined,
      createdAtMs: Math.floor(this.#options.clock.wallMs()),
    };
  }

  async #writeTombstone(tenantId: TenantId, timelineId: TimelineId, generation: number): Promise<void> {
    const { files } = this.#options;
    const name = timelineId + TOMBSTONE_SUFFIX;
    await replaceFile(files, this.#tenantDirectory(tenantId), name, encodeTombstone(generation));
    this.#tombstones.set(keyOf(tenantId, timelineId), generation);
  }

  async #removeTombstone(tenantId: TenantId, timelineId: TimelineId): Promise<void> {
    const { files } = this.#options;
    try {
      await files.remove(`${this.#tenantDirectory(tenantId)}/${timelineId}${TOMBSTONE_SUFFIX}`);
    } catch (error) {
      // An earlier attempt has come as far as this.
      if (!(error instanceof VarveError) || error.code !== 'FILE_NOT_FOUND') throw error;
    }
    await files.syncDirectory(this.#tenantDirectory(tenantId));
    this.#tombstones.delete(keyOf(tenantId, timelineId));
  }

  #tenantDirectory(tenantId: TenantId): string {
    return `${this.#options.directory}/${tenantId}`;
  }

  /** Runs one change of a timeline's existence after the other. */
  async #change<Result>(
    tenantId: TenantId,
    timelineId: TimelineId,
    action: () => Promise<Result>,
  ): Promise<Result> {
    const key = keyOf(tenantId, timelineId);
    const before = this.#changing.get(key);
    const result = (async () => {
      // How the change before ended is for who asked for it.
      await before?.catch(() => undefined);
      return action();
    })();
    this.#changing.set(key, result);
    try {
      return await result;
    } finally {
      if (this.#changing.get(key) === result) this.#changing.delete(key);
    }
  }
}

function keyOf(tenantId: TenantId, timelineId: TimelineId): string {
  return `${tenantId}/${timelineId}`;
}

/** Positions that a file brings are no assertion of ours. */
function makeAcceptor(nodeId: number, state: PersistentState, log: LogPosition, path: string): Acceptor {
  try {
    return new Acceptor(nodeId, state, log);
  } catch (error) {
    if (!(error instanceof AssertionError)) throw error;
    throw new CorruptionError('BAD_CONTROL_FILE', error.reason, { file: path }, error);
  }
}

/** What is assumed of WAL before the server that writes it has said its version. */
const MAJOR_DEFAULT = 17;

/** @throws BadRequestError for a version that Varve does not know */
export function versionOf(pgVersion: number): PostgresVersion {
  return getPostgresVersion(pgVersion === 0 ? MAJOR_DEFAULT : Math.floor(pgVersion / 10_000));
}
