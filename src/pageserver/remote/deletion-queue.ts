import { VarveError } from '../../base/errors.ts';
import type { TenantId } from '../../base/ids.ts';
import { TaskSet } from '../../base/task-set.ts';
import { cancelledError, throwIfCancelled } from '../../io/cancelled.ts';
import type { Clock, Timer } from '../../io/clock.ts';
import type { Files } from '../../io/files.ts';
import type { ObjectStore } from '../../io/objects.ts';
import type { Random } from '../../io/random.ts';
import { pause, RetryDelay } from '../../io/retry-delay.ts';
import type { Logger } from '../../observe/log.ts';
import { adoptTenants, DeletionBatch } from './deletion-batch.ts';
import { type DeletionList, keysOfList, keysOfTenant, type TenantDeletions } from './deletion-list.ts';
import { DeletionStore } from './deletion-store.ts';
import type { GenerationValidator } from './generation-validator.ts';
import { type TimelineName, timelinePrefix } from './object-keys.ts';
import type { RemoteMetrics } from './remote-metrics.ts';

const RETRY_TIMING = { minMs: 100, maxMs: 30_000 };
const KEYS_AT_ONCE = 1000;

export interface DeletionDoors {
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly objects: ObjectStore;
  readonly validator: Pick<GenerationValidator, 'isCurrent'>;
  readonly logger: Logger;
  readonly metrics: RemoteMetrics;
}

export interface DeletionLimits {
  /** A list is written when it has so many objects. */
  readonly listObjectsMax: number;
  /** A list is written at the latest so long after its first object came. */
  readonly listAgeMaxMs: number;
  /** With more objects than this, whoever makes garbage is to wait. */
  readonly pendingObjectsMax: number;
}

const DELETION_LIMITS: DeletionLimits = {
  listObjectsMax: 5000,
  listAgeMaxMs: 10_000,
  pendingObjectsMax: 100_000,
};

/** A list, and what has happened to it. */
interface Entry {
  list: DeletionList;
  isWritten: boolean;
}

/**
 * The one way in which objects are removed. What is submitted is collected in lists; a list is written to the local
 * disk, then the generations in it are validated, and what another node may need by now is dropped from it; then it is
 * executed. Where a process ends in between, the next one goes on.
 *
 * It has no hard bound, since an object that no index names has to be kept in mind somewhere: `isBehind` says when
 * compaction and garbage collection have to wait. While there is nothing to do, there is no timer and no task.
 */
export class DeletionQueue {
  readonly #doors: DeletionDoors;
  readonly #limits: DeletionLimits;
  readonly #store: DeletionStore;
  readonly #ending = new AbortController();
  readonly #tasks = new TaskSet();
  /** Sealed, in order of their sequence. */
  readonly #entries: Entry[];
  /** Keys of all objects that are not removed or dropped yet, with the number of lists that have them. */
  readonly #pending = new Map<string, number>();
  readonly #waiters = new Set<() => void>();
  #batch = new DeletionBatch();
  #timer: Timer | undefined;
  #nextSequence: number;
  #isWorking = false;

  private constructor(
    doors: DeletionDoors,
    limits: DeletionLimits,
    store: DeletionStore,
    entries: Entry[],
    nextSequence: number,
  ) {
    this.#doors = doors;
    this.#limits = limits;
    this.#store = store;
    this.#entries = entries;
    this.#nextSequence = nextSequence;
    for (const { list } of entries) this.#hold(keysOfList(list));
    this.#work();
  }

  /**
   * Goes on with what an earlier process has left. What it had validated is executed; what it had not is validated
   * anew where no other node was attached in between, and dropped otherwise.
   *
   * @param directory must exist, and be the queue's alone
   * @param attached the generation of each tenant that is attached to this node now
   */
  static async open(
    doors: DeletionDoors,
    directory: string,
    attached: ReadonlyMap<TenantId, number>,
    limits: Partial<DeletionLimits> = {},
  ): Promise<DeletionQueue> {
    const store = new DeletionStore(doors.files, directory, doors.logger);
    const { lists, nextSequence, refused } = await store.load();
    doors.metrics.deletionListsRefused.add(refused);
    const entries = lists.map((list) => {
      if (list.isValidated) return { list, isWritten: true };
      const tenants = adoptTenants(list.tenants, attached);
      const dropped = countOf(list.tenants) - countOf(tenants);
      if (dropped > 0) doors.logger.info('Deletions of an earlier process are dropped', { dropped });
      doors.metrics.deletionsDropped.add(dropped);
      return { list: { ...list, tenants }, isWritten: false };
    });
    return new DeletionQueue(doors, { ...DELETION_LIMITS, ...limits }, store, entries, nextSequence);
  }

  /** So many objects wait that no more garbage should be made for now. */
  get isBehind(): boolean {
    return this.#pending.size > this.#limits.pendingObjectsMax;
  }

  /** Whether an object is about to be removed: nobody may put one under this key meanwhile. */
  isPending(key: string): boolean {
    return this.#pending.has(key);
  }

  /**
   * Submits objects that no index of this generation names any more, the newest of which is durable.
   * @param names below the timeline's prefix
   * @throws VarveError ‘cancelled’ after `shutdown`
   */
  enqueue(timeline: TimelineName, generation: number, names: readonly string[]): void {
    throwIfCancelled(this.#ending.signal);
    const prefix = timelinePrefix(timeline);
    this.#hold(names.map((name) => prefix + name));
    this.#doors.metrics.deletionsSubmitted.add(names.length);
    if (!this.#batch.takes(timeline.tenantId, generation)) this.#seal();
    const { listObjectsMax, listAgeMaxMs } = this.#limits;
    for (let start = 0; start < names.length; start += listObjectsMax) {
      this.#batch.add(timeline, generation, names.slice(start, start + listObjectsMax));
      if (this.#batch.count >= listObjectsMax) this.#seal();
    }
    if (this.#batch.count > 0) this.#timer ??= this.#doors.clock.setTimer(listAgeMaxMs, () => this.#seal());
    this.#work();
  }

  /**
   * Resolves when all that has been submitted so far is removed, or dropped.
   * @throws VarveError ‘cancelled’ when the signal is given or `shutdown` is called first
   */
  async flush(signal: AbortSignal): Promise<void> {
    throwIfCancelled(this.#ending.signal);
    throwIfCancelled(signal);
    this.#seal();
    const last = this.#nextSequence - 1;
    const isOver = (): boolean => this.#entries.every(({ list }) => list.sequence > last);
    const either = AbortSignal.any([signal, this.#ending.signal]);
    while (!isOver()) {
      await new Promise<void>((resolve, reject) => {
        const onAbort = (): void => {
          this.#waiters.delete(wake);
          reject(cancelledError(either));
        };
        const wake = (): void => {
          either.removeEventListener('abort', onAbort);
          resolve();
        };
        this.#waiters.add(wake);
        either.addEventListener('abort', onAbort, { once: true });
      });
    }
  }

  /** Writes down what has been submitted, for the next process, and ends. A disk that fails is not waited for. */
  async shutdown(): Promise<void> {
    if (this.#ending.signal.aborted) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#seal();
    this.#ending.abort();
    await this.#tasks.settled();
    try {
      for (const entry of this.#entries) await this.#write(entry);
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      this.#doors.logger.warn('Deletions could not be written down, and their objects stay', { error });
    }
  }

  #hold(keys: Iterable<string>): void {
    for (const key of keys) this.#pending.set(key, (this.#pending.get(key) ?? 0) + 1);
    this.#doors.metrics.deletionsPending.set(this.#pending.size);
  }

  #release(keys: Iterable<string>): void {
    for (const key of keys) {
      const lists = this.#pending.get(key) ?? 0;
      if (lists > 1) this.#pending.set(key, lists - 1);
      else this.#pending.delete(key);
    }
    this.#doors.metrics.deletionsPending.set(this.#pending.size);
  }

  #seal(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#batch.count === 0) return;
    const list = { sequence: this.#nextSequence++, isValidated: false, tenants: this.#batch.tenants() };
    this.#entries.push({ list, isWritten: false });
    this.#batch = new DeletionBatch();
    this.#work();
  }

  #work(): void {
    if (this.#isWorking || this.#entries.length === 0 || this.#ending.signal.aborted) return;
    this.#isWorking = true;
    this.#tasks.run(() => this.#workAll());
  }

  async #workAll(): Promise<void> {
    const { clock, random, logger, metrics } = this.#doors;
    const { signal } = this.#ending;
    const retry = new RetryDelay(RETRY_TIMING, random);
    while (this.#entries.length > 0 && !signal.aborted) {
      try {
        await this.#workOnce([...this.#entries]);
        retry.reset();
      } catch (error) {
        if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
        if (signal.aborted) break;
        metrics.deletionErrors.increment();
        logger.warn('Deletions are held up', { error });
        await pause(clock, retry.nextMs(), signal);
      }
    }
    this.#isWorking = false;
  }

  /** Each step may be done again where one behind it has failed. */
  async #workOnce(entries: readonly Entry[]): Promise<void> {
    for (const entry of entries) await this.#write(entry);
    const fresh = entries.filter(({ list }) => !list.isValidated);
    if (fresh.length > 0) await this.#validate(fresh);
    for (const entry of entries) await this.#execute(entry.list);
    await this.#store.remove(entries.map(({ list }) => list.sequence));
    // Only now may somebody put an object under such a key: nothing will execute these lists again.
    for (const { list } of entries) this.#release(keysOfList(list));
    this.#entries.splice(0, entries.length);
    for (const wake of this.#waiters) wake();
    this.#waiters.clear();
  }

  async #write(entry: Entry): Promise<void> {
    if (entry.isWritten) return;
    const { list } = entry;
    if (list.tenants.length === 0) await this.#store.remove([list.sequence]);
    else await this.#store.write(list);
    entry.isWritten = true;
  }

  /**
   * Asks for the generations, and drops what is stale. Lists of which something was dropped are written anew, before
   * the header says that all lists may be executed.
   */
  async #validate(entries: readonly Entry[]): Promise<void> {
    const isCurrent = await this.#askFor(entries.flatMap(({ list }) => list.tenants));
    for (const entry of entries) {
      const { list } = entry;
      const tenants = list.tenants.filter(isCurrent);
      if (tenants.length < list.tenants.length) {
        this.#drop(list.tenants.filter((tenant) => !isCurrent(tenant)));
        entry.list = { ...list, tenants };
        entry.isWritten = false;
      }
      await this.#write(entry);
    }
    await this.#store.writeHeader((entries[entries.length - 1] as Entry).list.sequence);
    for (const entry of entries) entry.list = { ...entry.list, isValidated: true };
  }

  async #askFor(tenants: readonly TenantDeletions[]): Promise<(tenant: TenantDeletions) => boolean> {
    const { validator } = this.#doors;
    const keyOf = ({ tenantId, generation }: TenantDeletions): string => `${tenantId} ${generation}`;
    const claims = new Map(tenants.map((tenant) => [keyOf(tenant), tenant]));
    const current = new Set<string>();
    await Promise.all(
      [...claims].map(async ([key, { tenantId, generation }]) => {
        if (await validator.isCurrent({ tenantId, generation }, this.#ending.signal)) current.add(key);
      }),
    );
    return (tenant) => current.has(keyOf(tenant));
  }

  #drop(tenants: readonly TenantDeletions[]): void {
    const { logger, metrics } = this.#doors;
    for (const tenant of tenants) {
      const { tenantId, generation } = tenant;
      const dropped = countOf([tenant]);
      logger.info('Deletions are dropped: another node has taken over', { tenantId, generation, dropped });
      metrics.deletionsDropped.add(dropped);
      this.#release(keysOfTenant(tenant));
    }
  }

  async #execute(list: DeletionList): Promise<void> {
    const { objects, metrics } = this.#doors;
    const keys = [...keysOfList(list)];
    for (let start = 0; start < keys.length; start += KEYS_AT_ONCE) {
      const some = keys.slice(start, start + KEYS_AT_ONCE);
      await objects.remove(some, this.#ending.signal);
      metrics.deletionsExecuted.add(some.length);
    }
  }
}

const countOf = (tenants: readonly TenantDeletions[]): number =>
  tenants.reduce(
    (sum, { timelines }) => sum + [...timelines.values()].reduce((count, { length }) => count + length, 0),
    0,
  );
