import { BadRequestError, VarveError } from '../../base/errors.ts';
import { isMember } from '../../contracts/membership.ts';
import {
  decodeStatusRequest,
  encodeStatusNews,
  STATUS_KEEPALIVE_MS,
  STATUS_TIMELINES_MAX,
  type StatusKey,
  type StatusNews,
  type StatusRequest,
  type TimelineState,
} from '../../contracts/status-stream.ts';
import type { Clock, Timer } from '../../io/clock.ts';
import type { CopyEnd, CopyReceiver } from '../../libpq/copy-stream.ts';
import type { Logger } from '../../observe/log.ts';
import type { Timelines } from '../timeline/timelines.ts';
import { type BoardEntry, nameOf, type StatusBoard } from './status-board.ts';

/** News of one timeline go out at most this often. */
const TOLD_INTERVAL_MS = 1000;
/** A subscriber that says nothing for so long has gone: it answers keepalives. */
const SUBSCRIBER_SILENCE_MAX_MS = 30_000;
/** Timelines that one subscriber may name. */
const FOLLOWED_MAX = 200_000;
/** Nothing is sent while the subscriber has more than this to read. */
const UNSENT_BYTES_MAX = 256 * 1024;

/** Where news go. */
export interface StatusPort {
  readonly unsentBytes: number;
  sendCopyData(body: Uint8Array): void;
  /** Resolves once at most `limitBytes` are unsent, or the connection is closed. */
  drained(limitBytes: number): Promise<void>;
}

export interface StatusStreamOptions {
  readonly nodeId: number;
  readonly board: StatusBoard;
  readonly timelines: Timelines;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends with the connection. */
  readonly signal: AbortSignal;
  /** What the subscriber's token opens: throws for a timeline, or (without one) for the whole service, if it does not. */
  readonly checkAccess: (key?: StatusKey) => void;
  readonly onTold: (timelineCount: number) => void;
}

/**
 * Tells one subscriber of timelines: docs/formats/status-stream.md. What is to be told is a set of timelines, whose
 * states are looked at when they are sent, so a subscriber that reads slowly hears less often, and nothing piles up.
 */
export class StatusStream implements CopyReceiver {
  readonly #options: StatusStreamOptions;
  readonly #followed = new Set<string>();
  /** The safekeeper whose timelines are followed, those that this one has too. */
  #inCommonWith: number | undefined;
  /** To be looked at. True: told even if it is what was told before. */
  #pending = new Map<BoardEntry, boolean>();
  /** What was told last of each. */
  readonly #told = new WeakMap<BoardEntry, TimelineState>();
  /** Followed, and not open when that was asked for: by name. */
  readonly #toOpen = new Map<string, StatusKey>();
  #nextTellingMs = 0;
  #heardMs: number;
  #isOver = false;
  readonly #over = Promise.withResolvers<void>();
  #networkError: Error | undefined;
  #wake: (() => void) | undefined;
  #wakeOpener: (() => void) | undefined;

  constructor(options: StatusStreamOptions) {
    this.#options = options;
    this.#heardMs = options.clock.monotonicMs();
  }

  /** Tells until the subscriber leaves. Rejects with why it ended otherwise. */
  async run(begin: (receiver: CopyReceiver) => StatusPort): Promise<void> {
    const { board, signal } = this.#options;
    using _board = board.listen((entry) => this.#onChange(entry));
    const stream = begin(this);
    const onAbort = (): void => this.#finish();
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    try {
      const ends = await Promise.allSettled([this.#tell(stream), this.#openFollowed(stream)]);
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
    if (this.#networkError !== undefined) throw this.#networkError;
  }

  onCopyData(bytes: Uint8Array, offset: number, length: number): void {
    this.#heardMs = this.#options.clock.monotonicMs();
    this.#take(decodeStatusRequest(bytes, offset, length));
  }

  onCopyEnd(end: CopyEnd): void {
    if (end.kind === 'failed') this.#networkError = end.error;
    this.#finish();
  }

  #take(request: StatusRequest): void {
    const { board, checkAccess } = this.#options;
    switch (request.kind) {
      case 'keepalive':
        return;
      case 'in-common':
        checkAccess();
        this.#inCommonWith = request.nodeId;
        for (const entry of board.all()) {
          if (this.#isInCommon(entry)) this.#note(entry, true);
        }
        return;
      case 'remove':
        for (const key of request.keys) {
          this.#followed.delete(nameOf(key));
          this.#toOpen.delete(nameOf(key));
        }
        return;
      default:
        for (const key of request.keys) this.#takeKey(key, request.kind === 'add');
    }
  }

  #takeKey(key: StatusKey, isAdded: boolean): void {
    this.#options.checkAccess(key);
    if (isAdded) this.#followed.add(nameOf(key));
    if (this.#followed.size > FOLLOWED_MAX) {
      throw new BadRequestError('TOO_MANY_TIMELINES', `more than ${FOLLOWED_MAX} timelines are followed`);
    }
    const entry = this.#options.board.find(key);
    if (entry !== undefined) {
      this.#note(entry, true);
    } else if (isAdded) {
      this.#toOpen.set(nameOf(key), key);
      this.#wakeOpener?.();
    }
  }

  #onChange(entry: BoardEntry): void {
    if (this.#isInCommon(entry) || this.#followed.has(entry.name)) this.#note(entry, false);
  }

  #isInCommon({ membership }: BoardEntry): boolean {
    return this.#inCommonWith !== undefined && isMember(membership, this.#inCommonWith);
  }

  #note(entry: BoardEntry, isForced: boolean): void {
    const isFirst = this.#pending.size === 0;
    this.#pending.set(entry, isForced || this.#pending.get(entry) === true);
    if (isFirst) this.#wakeUp();
  }

  async #tell(stream: StatusPort): Promise<void> {
    const { nodeId, clock } = this.#options;
    this.#send(stream, { kind: 'hello', nodeId });
    let keepaliveMs = clock.monotonicMs() + STATUS_KEEPALIVE_MS;
    while (!this.#isOver) {
      const nowMs = clock.monotonicMs();
      if (nowMs - this.#heardMs > SUBSCRIBER_SILENCE_MAX_MS) {
        this.#finish();
        throw new VarveError('unavailable', 'SUBSCRIBER_SILENT', 'the subscriber answers no keepalive');
      }
      const mayTell = this.#pending.size > 0 && stream.unsentBytes <= UNSENT_BYTES_MAX;
      if (mayTell && nowMs >= this.#nextTellingMs) {
        await this.#tellPending(stream);
      } else if (nowMs >= keepaliveMs) {
        // One that does not read has not answered the last one either.
        if (stream.unsentBytes === 0) this.#send(stream, { kind: 'keepalive' });
        keepaliveMs = nowMs + STATUS_KEEPALIVE_MS;
      } else {
        const untilMs = mayTell ? Math.min(this.#nextTellingMs, keepaliveMs) : keepaliveMs;
        await this.#somethingHappens(untilMs - nowMs);
      }
    }
  }

  /** Sends what is pending, as far as the subscriber reads it. */
  async #tellPending(stream: StatusPort): Promise<void> {
    const { clock, onTold } = this.#options;
    this.#nextTellingMs = clock.monotonicMs() + TOLD_INTERVAL_MS;
    const batch = this.#pending;
    this.#pending = new Map();
    while (batch.size > 0 && !this.#isOver) {
      if (stream.unsentBytes > UNSENT_BYTES_MAX) {
        for (const [entry, isForced] of batch) this.#note(entry, isForced);
        this.#nextTellingMs = clock.monotonicMs();
        return;
      }
      const states = this.#takeChanged(batch);
      if (states.length > 0) this.#send(stream, { kind: 'states', states });
      onTold(states.length);
      if (batch.size > 0) await clock.yieldToOthers();
    }
  }

  /** The states of as many as go into one message. */
  #takeChanged(batch: Map<BoardEntry, boolean>): TimelineState[] {
    const states: TimelineState[] = [];
    for (const [entry, isForced] of batch) {
      if (states.length === STATUS_TIMELINES_MAX) break;
      batch.delete(entry);
      const state = entry.look();
      if (!isForced && state === (this.#told.get(entry) ?? entry.opened)) continue;
      this.#told.set(entry, state);
      states.push(state);
    }
    return states;
  }

  /** Opens what is followed, one after another, to tell where it is. */
  async #openFollowed(stream: StatusPort): Promise<void> {
    while (!this.#isOver) {
      const [name, key] = this.#toOpen.entries().next().value ?? [];
      if (name === undefined || key === undefined) {
        await new Promise<void>((resolve) => {
          this.#wakeOpener = resolve;
        });
        continue;
      }
      this.#toOpen.delete(name);
      await this.#open(stream, key);
      await this.#options.clock.yieldToOthers();
      if (stream.unsentBytes > UNSENT_BYTES_MAX) {
        await Promise.race([stream.drained(UNSENT_BYTES_MAX), this.#over.promise]);
      }
    }
  }

  async #open(stream: StatusPort, key: StatusKey): Promise<void> {
    const { timelines, board, logger } = this.#options;
    const timeline = timelines.find(key.tenantId, key.timelineId);
    if (timeline === undefined) {
      this.#send(stream, { kind: 'missing', keys: [key] });
      return;
    }
    try {
      using _resident = await timeline.stay('state');
      const entry = board.find(key);
      if (entry !== undefined) this.#note(entry, true);
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      logger.warn('a timeline that is followed cannot be opened', { ...key, error: error.message });
    }
  }

  #send(stream: StatusPort, news: StatusNews): void {
    stream.sendCopyData(encodeStatusNews(news));
  }

  #finish(): void {
    this.#isOver = true;
    this.#over.resolve();
    this.#wakeUp();
    this.#wakeOpener?.();
  }

  async #somethingHappens(timeoutMs: number): Promise<void> {
    let timer: Timer | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = this.#options.clock.setTimer(timeoutMs, resolve);
    });
    timer?.cancel();
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
