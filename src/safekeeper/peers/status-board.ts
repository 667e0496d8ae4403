import type { MembershipConfiguration } from '../../contracts/membership.ts';
import type { StatusKey, TimelineState } from '../../contracts/status-stream.ts';
import type { ReceiverRegistry } from '../receive/receiver-registry.ts';
import type { DurableAcceptor } from '../timeline/durable-acceptor.ts';
import type { Timeline } from '../timeline/timeline.ts';

/** One timeline that is open, as the board shows it. It can be read on when the timeline has been let go of. */
export class BoardEntry implements StatusKey {
  readonly tenantId: StatusKey['tenantId'];
  readonly timelineId: StatusKey['timelineId'];
  readonly name: string;
  /** Under which members something may have changed since somebody looked last; undefined: nothing has. */
  changedUnder: MembershipConfiguration | undefined;
  /** Where it was when it was opened, which is what was told before it was last let go of. */
  readonly opened: TimelineState;
  readonly #acceptor: DurableAcceptor;
  readonly #receivers: ReceiverRegistry;
  #state: TimelineState;

  constructor(timeline: Timeline, acceptor: DurableAcceptor) {
    this.tenantId = timeline.tenantId;
    this.timelineId = timeline.timelineId;
    this.name = nameOf(timeline);
    this.#acceptor = acceptor;
    this.#receivers = timeline.receivers;
    this.opened = this.#read();
    this.#state = this.opened;
  }

  get membership(): MembershipConfiguration {
    return this.#acceptor.acceptor.membership;
  }

  /** As it is now. The same object as long as nothing has changed. */
  look(): TimelineState {
    this.changedUnder = undefined;
    const state = this.#read();
    if (!isSame(this.#state, state)) this.#state = state;
    return this.#state;
  }

  #read(): TimelineState {
    const { acceptor } = this.#acceptor;
    return {
      tenantId: this.tenantId,
      timelineId: this.timelineId,
      generation: acceptor.membership.generation,
      term: acceptor.term,
      lastLogTerm: acceptor.lastLogTerm,
      flushLsn: acceptor.flushLsn,
      commitLsn: acceptor.commitLsn,
      backupLsn: acceptor.backupLsn,
      remoteConsistentLsn: acceptor.remoteConsistentLsn,
      peerHorizonLsn: acceptor.peerHorizonLsn,
      localStartLsn: acceptor.persistent.localStartLsn,
      isActive: this.#receivers.computes > 0,
    };
  }
}

function isSame(one: TimelineState, other: TimelineState): boolean {
  return (Object.keys(one) as (keyof TimelineState)[]).every((field) => one[field] === other[field]);
}

/** Must be quick and not throw. */
export type BoardListener = (entry: BoardEntry) => void;

/**
 * Where all open timelines are, for who tells of them. Changes are only marked when they come; what they were is looked
 * at when somebody tells of it.
 */
export class StatusBoard {
  readonly #entries = new Map<string, BoardEntry>();
  readonly #listeners = new Set<BoardListener>();

  /** Shows a timeline that was opened, until the result is disposed of. */
  open(timeline: Timeline, acceptor: DurableAcceptor): Disposable {
    const entry = new BoardEntry(timeline, acceptor);
    const change = (): void => this.#change(entry);
    const stack = new DisposableStack();
    stack.use(acceptor.listen(change));
    // A pageserver's progress is noted without a decision.
    stack.use(timeline.feedback.listen(change));
    stack.use(timeline.receivers.watchComputes(change));
    stack.defer(() => {
      if (this.#entries.get(entry.name) === entry) this.#entries.delete(entry.name);
    });
    this.#entries.set(entry.name, entry);
    return stack;
  }

  find(key: StatusKey): BoardEntry | undefined {
    return this.#entries.get(nameOf(key));
  }

  all(): Iterable<BoardEntry> {
    return this.#entries.values();
  }

  /**
   * Calls `listener` once something of a timeline may have changed, and not again before somebody has looked at it, or
   * other members keep it.
   */
  listen(listener: BoardListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #change(entry: BoardEntry): void {
    // Hot: this is called for each append. Who is interested depends on the members, and on nothing else that changes.
    const { membership } = entry;
    if (entry.changedUnder === membership || this.#listeners.size === 0) return;
    entry.changedUnder = membership;
    for (const listener of this.#listeners) listener(entry);
  }
}

export function nameOf({ tenantId, timelineId }: StatusKey): string {
  return `${tenantId}/${timelineId}`;
}
