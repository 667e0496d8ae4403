import { Gate } from '../../base/gate.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import { FeedbackChannel } from '../receive/feedback-channel.ts';
import { ReceiverRegistry } from '../receive/receiver-registry.ts';
import { SenderRegistry } from '../send/sender-registry.ts';
import { type AcceptorMeter, DurableAcceptor, type OpenAcceptor } from './durable-acceptor.ts';

/** What a timeline needs of its surroundings. */
export interface TimelineDoors {
  /** Reads the timeline from its disk. */
  readonly open: OpenAcceptor;
  readonly meter?: AcceptorMeter;
  /** Brings WAL that was evicted back from the bucket, on the disk and in the control file. */
  readonly restore: (timeline: Timeline, acceptor: DurableAcceptor) => Promise<void>;
  /** Told of each receiver that comes and goes. */
  readonly onReceiverCount: (change: 1 | -1) => void;
  /** Told when the timeline is in use, and when nobody uses it any more. */
  readonly onUse: (timeline: Timeline, isInUse: boolean) => void;
  /** Told each time that the timeline has been opened. What it gives is disposed of when the timeline is let go of. */
  readonly onOpen?: (timeline: Timeline, acceptor: DurableAcceptor) => Disposable;
}

/** A timeline that stays as it is, in memory and with its WAL on the disk, until this is disposed of. */
export interface ResidentTimeline extends Disposable {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly directory: string;
  readonly acceptor: DurableAcceptor;
  readonly receivers: ReceiverRegistry;
  readonly senders: SenderRegistry;
  readonly feedback: FeedbackChannel;
  /** Ends with the timeline's life here. Whoever waits while inside obeys it. */
  readonly signal: AbortSignal;
}

/** What there is of a timeline only while it is open. */
interface Opened {
  readonly acceptor: DurableAcceptor;
  readonly watch: Disposable | undefined;
}

/**
 * One timeline on this safekeeper. It is read from the disk when it is first used, and let go of when it has been idle:
 * one that nobody uses is an entry in a map. Who uses it holds a `ResidentTimeline`.
 */
export class Timeline {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  /** Where its files are. */
  readonly directory: string;
  readonly #doors: TimelineDoors;
  #gate: Gate | undefined;
  #cancellation: AbortController | undefined;
  #receivers: ReceiverRegistry | undefined;
  #senders: SenderRegistry | undefined;
  #feedback: FeedbackChannel | undefined;
  #opened: Opened | undefined;
  /** What opens, restores or lets go at present: one after another. */
  #changing: Promise<unknown> | undefined;
  #users = 0;
  #isClosed = false;

  constructor(tenantId: TenantId, timelineId: TimelineId, directory: string, doors: TimelineDoors) {
    this.tenantId = tenantId;
    this.timelineId = timelineId;
    this.directory = directory;
    this.#doors = doors;
  }

  /** The acceptor, if the timeline is open at present. */
  get acceptor(): DurableAcceptor | undefined {
    return this.#opened?.acceptor;
  }

  /** Its life here is over, or ending. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isInUse(): boolean {
    return this.#users > 0;
  }

  get receivers(): ReceiverRegistry {
    this.#receivers ??= new ReceiverRegistry(this.#doors.onReceiverCount);
    return this.#receivers;
  }

  get senders(): SenderRegistry {
    this.#senders ??= new SenderRegistry();
    return this.#senders;
  }

  get feedback(): FeedbackChannel {
    this.#feedback ??= new FeedbackChannel();
    return this.#feedback;
  }

  get signal(): AbortSignal {
    this.#cancellation ??= new AbortController();
    return this.#cancellation.signal;
  }

  /**
   * Opens the timeline, reads it anew if the disk has failed, and keeps it open until the result is disposed of.
   * @param needs `wal`: brings evicted WAL back; `state`: it may stay in the bucket
   * @throws VarveError ‘cancelled’ when the timeline is closing; what the disk and the bucket fail with
   */
  async stay(needs: 'wal' | 'state'): Promise<ResidentTimeline> {
    const pass = this.#enter();
    try {
      const acceptor = await this.#open(needs);
      const { tenantId, timelineId, directory, receivers, senders, feedback, signal } = this;
      const leave = (): void => pass();
      return {
        tenantId,
        timelineId,
        directory,
        acceptor,
        receivers,
        senders,
        feedback,
        signal,
        [Symbol.dispose]: leave,
      };
    } catch (error) {
      pass();
      throw error;
    }
  }

  /**
   * Runs `action` if nobody uses the timeline, and keeps everybody out until it is done.
   * @returns false if somebody does
   */
  async whileUnused(action: (acceptor: DurableAcceptor | undefined) => Promise<void>): Promise<boolean> {
    if (this.#users > 0 || this.#changing !== undefined || this.#isClosed) return false;
    await this.#change(() => action(this.#opened?.acceptor));
    return true;
  }

  /** Saves what only memory knows and forgets everything but the name. False if somebody uses the timeline. */
  async letGo(): Promise<boolean> {
    return this.whileUnused(async (acceptor) => {
      if (acceptor === undefined) return;
      if (acceptor.failure === undefined) await acceptor.run((it) => it.save());
      await acceptor.close();
      this.#forgetOpened();
      // Somebody may wait already until this is done. And what has been closed meanwhile stays so.
      if (this.#users > 0 || this.#isClosed) return;
      this.#senders = undefined;
      this.#receivers = undefined;
      this.#feedback = undefined;
      this.#cancellation = undefined;
      this.#gate = undefined;
    });
  }

  /**
   * Ends all use of the timeline, waits until nobody is inside, and closes its files.
   * @throws what the disk fails with; the timeline is closed then, too
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#gate ??= new Gate(`timeline ${this.tenantId}/${this.timelineId}`);
    this.#cancellation ??= new AbortController();
    this.#cancellation.abort();
    await this.#gate.close();
    await this.#change(async () => {
      const acceptor = this.#opened?.acceptor;
      this.#forgetOpened();
      if (acceptor === undefined) return;
      try {
        if (acceptor.failure === undefined) await acceptor.run((it) => it.save());
      } finally {
        await acceptor.close();
      }
    });
  }

  #forgetOpened(): void {
    this.#opened?.watch?.[Symbol.dispose]();
    this.#opened = undefined;
  }

  #enter(): () => void {
    this.#gate ??= new Gate(`timeline ${this.tenantId}/${this.timelineId}`);
    const pass = this.#gate.enter();
    this.#users++;
    if (this.#users === 1) this.#doors.onUse(this, true);
    let isInside = true;
    return () => {
      if (!isInside) return;
      isInside = false;
      this.#users--;
      pass.leave();
      if (this.#users === 0) this.#doors.onUse(this, false);
    };
  }

  async #open(needs: 'wal' | 'state'): Promise<DurableAcceptor> {
    const ready = this.#opened?.acceptor;
    if (ready !== undefined && this.#changing === undefined && isReady(ready, needs)) return ready;
    return this.#change(async () => {
      this.#opened ??= await this.#openFirst();
      const { acceptor } = this.#opened;
      await acceptor.recover();
      if (!isReady(acceptor, needs)) await this.#doors.restore(this, acceptor);
      return acceptor;
    });
  }

  async #openFirst(): Promise<Opened> {
    const { open, meter, onOpen } = this.#doors;
    const acceptor = await DurableAcceptor.open(open, meter);
    return { acceptor, watch: onOpen?.(this, acceptor) };
  }

  /** Runs one change after all that were asked for before. */
  async #change<Result>(action: () => Promise<Result>): Promise<Result> {
    const before = this.#changing;
    const result = (async () => {
      // How the change before ended is for who asked for it.
      await before?.catch(() => undefined);
      return action();
    })();
    this.#changing = result;
    try {
      return await result;
    } finally {
      if (this.#changing === result) this.#changing = undefined;
    }
  }
}

function isReady(acceptor: DurableAcceptor, needs: 'wal' | 'state'): boolean {
  return acceptor.failure === undefined && (needs === 'state' || acceptor.wal !== undefined);
}
