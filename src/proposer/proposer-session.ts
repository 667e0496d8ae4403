import { AssertionError } from '../base/errors.ts';
import type { Lsn } from '../base/lsn.ts';
import type { AcceptorMessage, AppendResponse } from '../contracts/acceptor-messages.ts';
import { hasQuorum, type MembershipConfiguration } from '../contracts/membership.ts';
import { pause } from '../io/retry-delay.ts';
import type { PreviousElections } from './consensus/election.ts';
import type { ProposerEffect } from './consensus/proposer-effects.ts';
import { ProposerMachine } from './consensus/proposer-machine.ts';
import { DonorFetch } from './donor-fetch.ts';
import type { ProposerDoors, ProposerOptions, ProposerSettings } from './options.ts';
import { type LinkHandler, SafekeeperLink } from './safekeeper-link.ts';
import type { WalWindow } from './wal-window.ts';

/** When a quorum has been told how it ends, the others still have this long. */
const FAREWELL_MS = 1000;

export type SessionEnd = Extract<
  ProposerEffect,
  { kind: 'outvoted' } | { kind: 'fenced' } | { kind: 'membership-changed' }
>;

export interface SessionHandler {
  onElected(term: number, startLsn: Lsn): void;
  onStartCommitted(): void;
  onCommitted(commitLsn: Lsn): void;
  onResponse(safekeeperId: number, response: AppendResponse): void;
  onDisconnected(safekeeperId: number): void;
  /** The election is lost, or its term is over. */
  onOver(end: SessionEnd): void;
  /** A bug. */
  onFailure(error: Error): void;
}

export interface SessionStart {
  readonly membership: MembershipConfiguration;
  readonly previous: PreviousElections | undefined;
}

/** How one safekeeper is doing. */
export interface SafekeeperStatus {
  readonly id: number;
  readonly isConnected: boolean;
  readonly isStreaming: boolean;
  readonly isFetching: boolean;
  readonly flushLsn: Lsn;
  readonly unsentBytes: number;
  readonly connections: number;
}

/** One election and its term: a machine, the connections to the safekeepers, and what carries the one's wishes out over the others. */
export class ProposerSession implements LinkHandler {
  readonly #options: ProposerOptions;
  readonly #settings: ProposerSettings;
  readonly #doors: ProposerDoors;
  readonly #handler: SessionHandler;
  readonly #membership: MembershipConfiguration;
  readonly #machine: ProposerMachine;
  readonly #links: ReadonlyMap<number, SafekeeperLink>;
  /** The WAL that is at hand; undefined before the first election is won. */
  #window: WalWindow | undefined;
  /** Effects that are to be carried out, in order, also where one leads to others. */
  readonly #effects: ProposerEffect[] = [];
  #isApplying = false;
  #isClosed = false;
  /** Safekeepers for whom WAL is being read from a donor. */
  readonly #fetches = new Map<number, DonorFetch>();
  readonly #tasks = new Set<Promise<unknown>>();
  /** What the safekeepers are to know before it ends. */
  #finalLsn: Lsn | undefined;
  readonly #finishing = new Set<number>();
  readonly #told = new Set<number>();
  /** Whether a quorum was told; it is over for all who wait for that when it is closed. */
  readonly #farewell: PromiseWithResolvers<boolean> = Promise.withResolvers();
  #sentBytes = 0;
  #fetchedBytes = 0;
  /** When the election was won, or a safekeeper has got further since. */
  #lastProgressMs = 0;

  constructor(
    start: SessionStart,
    options: ProposerOptions,
    settings: ProposerSettings,
    doors: ProposerDoors,
    handler: SessionHandler,
  ) {
    this.#options = options;
    this.#settings = settings;
    this.#doors = doors;
    this.#handler = handler;
    this.#membership = start.membership;
    this.#machine = new ProposerMachine({ ...options, ...start });
    const { members, newMembers } = start.membership;
    const addresses = new Map([...members, ...(newMembers ?? [])].map((address) => [address.id, address]));
    this.#links = new Map(
      [...addresses].map(([id, address]) => [
        id,
        new SafekeeperLink(address, options, settings, doors, this),
      ]),
    );
  }

  start(): void {
    for (const link of this.#links.values()) link.start();
  }

  get term(): number {
    return this.#machine.term;
  }

  get isElected(): boolean {
    return this.#machine.phase === 'elected';
  }

  /** For the next session of this proposer. */
  get elections(): PreviousElections {
    return this.#machine.elections;
  }

  get hasStreamingQuorum(): boolean {
    return !this.#isClosed && this.#machine.hasStreamingQuorum;
  }

  /** WAL below is needed by nobody who is connected. */
  get neededLsn(): Lsn {
    return this.#machine.neededLsn;
  }

  /** WAL that was sent, once for each safekeeper; and what of it was read from donors. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  get fetchedBytes(): number {
    return this.#fetchedBytes;
  }

  get safekeepers(): SafekeeperStatus[] {
    return [...this.#links].map(([id, link]) => {
      const { flushLsn, isStreaming } = this.#machine.positionOf(id);
      const { unsentBytes, connections, isOpen } = link;
      const isFetching = this.#fetches.has(id);
      return { id, isConnected: isOpen, isStreaming, isFetching, flushLsn, unsentBytes, connections };
    });
  }

  /** Where WAL is to be taken from. To be called when the election is won. */
  useWindow(window: WalWindow): void {
    this.#window = window;
  }

  /** WAL up to here may be sent. */
  extendWal(endLsn: Lsn): void {
    if (this.#isClosed) return;
    this.#apply(this.#machine.extendWal(endLsn));
  }

  /** To be called now and then. */
  heartbeat(): void {
    if (this.#isClosed) return;
    const nowMs = this.#doors.clock.monotonicMs();
    for (const link of this.#links.values()) link.checkIdle(nowMs);
    if (this.isElected) this.#apply(this.#machine.heartbeat());
  }

  /**
   * Tells the safekeepers that all up to `finalLsn` is committed, and says goodbye to them. Resolves when a quorum has
   * answered, and the others too if they are quick. False: it was closed before. May be called again.
   */
  async sayGoodbye(finalLsn: Lsn): Promise<boolean> {
    this.#finalLsn = finalLsn;
    this.#apply(this.#machine.heartbeat());
    if (!(await this.#farewell.promise)) return false;
    const patience = new AbortController();
    const others = Promise.all([...this.#tasks]).then(() => patience.abort());
    this.#track(others);
    await pause(this.#doors.clock, FAREWELL_MS, patience.signal);
    return true;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#farewell.resolve(false);
    for (const fetch of this.#fetches.values()) fetch.abort();
    await Promise.all([...this.#links.values()].map((link) => link.close()));
    await Promise.all([...this.#tasks]);
  }

  onOpen(id: number): void {
    this.#act(() => this.#machine.connected(id));
  }

  /**
   * The election is won and a quorum is there, but nobody who is there has the WAL up to its start, and that for a while:
   * the one that had it is gone. Only another election can find out where the log ends without it.
   */
  isStuck(nowMs: number): boolean {
    if (!this.isElected || !this.hasStreamingQuorum || this.#machine.commitLsn >= this.#machine.startLsn)
      return false;
    return nowMs - this.#lastProgressMs >= this.#settings.stuckElectionMs;
  }

  onMessage(id: number, message: AcceptorMessage): void {
    this.#act(() => {
      if (message.kind === 'append-response') {
        if (message.flushLsn > this.#machine.positionOf(id).flushLsn) this.#noteProgress();
        this.#handler.onResponse(id, message);
      }
      return this.#machine.received(id, message);
    });
  }

  onClosed(id: number): void {
    this.#fetches.get(id)?.abort();
    this.#act(() => this.#machine.disconnected(id));
    if (!this.#isClosed) this.#handler.onDisconnected(id);
  }

  onRoom(id: number): void {
    this.#act(() => [{ kind: 'pump', to: id }]);
  }

  onFailure(error: Error): void {
    this.#handler.onFailure(error);
  }

  /** Whatever is thrown here is a bug, and not to be taken for a fault of a connection. */
  #act(decide: () => readonly ProposerEffect[]): void {
    if (this.#isClosed) return;
    try {
      this.#apply(decide());
    } catch (error) {
      this.#handler.onFailure(error as Error);
    }
  }

  #apply(effects: readonly ProposerEffect[]): void {
    const queue = this.#effects;
    for (const effect of effects) queue.push(effect);
    if (this.#isApplying) return;
    this.#isApplying = true;
    try {
      for (let index = 0; index < queue.length && !this.#isClosed; index++) {
        this.#carryOut(queue[index] as ProposerEffect);
      }
    } finally {
      queue.length = 0;
      this.#isApplying = false;
    }
  }

  #carryOut(effect: ProposerEffect): void {
    switch (effect.kind) {
      case 'send':
        this.#link(effect.to).send(effect.message);
        break;
      case 'pump':
        this.#pump(effect.to);
        break;
      case 'disconnect':
        this.#disconnect(effect.from, effect.reason);
        break;
      case 'elected':
        this.#noteProgress();
        this.#handler.onElected(effect.term, effect.startLsn);
        break;
      case 'start-committed':
        this.#handler.onStartCommitted();
        break;
      case 'committed':
        this.#handler.onCommitted(effect.commitLsn);
        break;
      default:
        this.#handler.onOver(effect);
    }
  }

  #noteProgress(): void {
    this.#lastProgressMs = this.#doors.clock.monotonicMs();
  }

  #disconnect(id: number, reason: Error): void {
    this.#doors.logger.warn('a safekeeper is disconnected', { safekeeperId: id, reason: reason.message });
    this.#link(id).drop(reason);
  }

  #link(id: number): SafekeeperLink {
    const link = this.#links.get(id);
    if (link === undefined) throw new AssertionError(`there is no link to safekeeper ${id}`);
    return link;
  }

  /** Sends to a safekeeper what there is for it, as far as it takes it. */
  #pump(id: number): void {
    const link = this.#link(id);
    const window = this.#window;
    if (window === undefined || !link.isOpen || this.#fetches.has(id) || this.#finishing.has(id)) return;
    while (link.unsentBytes < this.#settings.unsentBytesMax) {
      const next = this.#machine.nextAppend(id, window.heldFromLsn);
      if (next === undefined) {
        this.#sayGoodbyeTo(id, link);
        return;
      }
      if (next.kind === 'fetch') {
        this.#fetch(id, link, next.beginLsn, window);
        return;
      }
      link.sendAppend(next, window.slices(next.beginLsn, next.endLsn));
      this.#sentBytes += next.endLsn - next.beginLsn;
    }
    link.callWhenRoom();
  }

  /** All that there is was sent to it. */
  #sayGoodbyeTo(id: number, link: SafekeeperLink): void {
    const finalLsn = this.#finalLsn;
    if (finalLsn === undefined) return;
    const { isStreaming, toldCommitLsn } = this.#machine.positionOf(id);
    if (!isStreaming || toldCommitLsn < finalLsn) return;
    this.#finishing.add(id);
    this.#track(
      link.finish().then((isTold) => {
        this.#finishing.delete(id);
        if (!isTold) return;
        this.#told.add(id);
        if (hasQuorum(this.#membership, (each) => this.#told.has(each))) this.#farewell.resolve(true);
      }),
    );
  }

  /** A safekeeper lacks WAL that is not at hand: others have it. */
  #fetch(id: number, link: SafekeeperLink, beginLsn: Lsn, window: WalWindow): void {
    const parts = {
      machine: this.#machine,
      links: this.#links,
      window,
      options: this.#options,
      settings: this.#settings,
      doors: this.#doors,
    };
    const fetch = new DonorFetch(parts, link, beginLsn);
    this.#fetches.set(id, fetch);
    const run = async (): Promise<void> => {
      try {
        await fetch.run();
      } catch (error) {
        this.#handler.onFailure(error as Error);
      }
      this.#fetches.delete(id);
      this.#fetchedBytes += fetch.fetchedBytes;
      this.#sentBytes += fetch.fetchedBytes;
      this.#act(() => [{ kind: 'pump', to: id }]);
    };
    this.#track(run());
  }

  #track(task: Promise<unknown>): void {
    this.#tasks.add(task);
    const done = (): void => void this.#tasks.delete(task);
    task.then(done, done);
  }
}
