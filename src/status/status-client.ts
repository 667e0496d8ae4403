import { AssertionError, VarveError } from '../base/errors.ts';
import {
  decodeStatusNews,
  encodeStatusRequest,
  STATUS_MESSAGE_BYTES_MAX,
  STATUS_STREAM_VERSION,
  STATUS_TIMELINES_MAX,
  type StatusKey,
  type StatusNews,
  type StatusRequest,
  type TimelineState,
} from '../contracts/status-stream.ts';
import type { Clock, Timer } from '../io/clock.ts';
import type { Random } from '../io/random.ts';
import { pause, RetryDelay } from '../io/retry-delay.ts';
import type { ServerTrust, SocketAddress, Sockets } from '../io/sockets.ts';
import type { PasswordSource } from '../libpq/client/authenticate.ts';
import { connect } from '../libpq/client/connect.ts';
import type { CopyEnd, CopyReceiver, CopyStream } from '../libpq/copy-stream.ts';
import type { Logger } from '../observe/log.ts';
import { formatReplicationCommand } from '../postgres/wire/replication-commands.ts';

const CONNECT_TIMEOUT_MS = 10_000;
const RETRY = { minMs: 1000, maxMs: 30_000 };
/** A connection on which nothing comes for so long is given up. */
const SILENCE_MAX_MS = 10_000;
/** Requests are handed to the connection while it has less than this unsent. */
const UNSENT_BYTES_MAX = 64 * 1024;

export interface StatusClientOptions {
  readonly sockets: Sockets;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly address: SocketAddress;
  /** Which safekeeper has to answer there. */
  readonly nodeId: number;
  readonly applicationName: string;
  /** A token, of the scope `safekeeperdata`, or of the tenant whose timelines are followed. */
  readonly password?: PasswordSource;
  readonly tls?: ServerTrust;
  /** Follow all timelines of which this safekeeper is a member too. */
  readonly inCommonWith?: number;
  /** Must be quick and not throw, as all of these. */
  readonly onStates: (states: readonly TimelineState[]) => void;
  /** These were added and are not there. */
  readonly onMissing?: (keys: readonly StatusKey[]) => void;
}

type ChangeKind = 'add' | 'remove' | 'ask';

/**
 * Follows the timelines of one safekeeper, over one connection, which it makes anew whenever it is lost. After each
 * time all that is followed is told once more.
 */
export class StatusClient {
  readonly #options: StatusClientOptions;
  readonly #wanted = new Map<string, StatusKey>();
  #following: Following | undefined;
  #heardMs: number | undefined;
  #streamNumber = 0;

  constructor(options: StatusClientOptions) {
    this.#options = options;
  }

  /** When anything was heard last, by the clock's monotonic time; undefined: never. */
  get heardMs(): number | undefined {
    return this.#heardMs;
  }

  /** Counts the connections: what was told in an earlier one may be out of date, however lately this one was heard. */
  get streamNumber(): number {
    return this.#streamNumber;
  }

  /** Follow these too. */
  add(keys: Iterable<StatusKey>): void {
    for (const key of keys) {
      this.#wanted.set(nameOf(key), key);
      this.#following?.change('add', key);
    }
  }

  remove(keys: Iterable<StatusKey>): void {
    for (const key of keys) {
      if (this.#wanted.delete(nameOf(key))) this.#following?.change('remove', key);
    }
  }

  /** Ask where these are now. There is no answer where they are not in use, nor while there is no connection. */
  ask(keys: Iterable<StatusKey>): void {
    for (const key of keys) this.#following?.change('ask', key);
  }

  /** Runs until the signal is given. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, logger, nodeId } = this.#options;
    const delay = new RetryDelay(RETRY, random);
    let isTold = false;
    while (!signal.aborted) {
      const streamBefore = this.#streamNumber;
      const error = await this.#follow(signal);
      if (signal.aborted) return;
      if (this.#streamNumber > streamBefore) {
        delay.reset();
        isTold = false;
      }
      // Of a row of failures the first is told.
      if (!isTold)
        logger.info('no status stream from a safekeeper', { peerId: nodeId, error: error.message });
      isTold = true;
      await pause(clock, delay.nextMs(), signal);
    }
  }

  /** One connection, up to its end. Gives why that came. */
  async #follow(signal: AbortSignal): Promise<Error> {
    const { sockets, address, clock, random, applicationName, password, tls } = this.#options;
    try {
      const connection = await connect(sockets, address, {
        user: applicationName,
        parameters: { application_name: applicationName },
        clock,
        random,
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
        bodyBytesMax: STATUS_MESSAGE_BYTES_MAX,
        signal,
        ...(password === undefined ? {} : { password }),
        ...(tls === undefined ? {} : { tls }),
      });
      try {
        const following = new Following(clock, (news) => this.#take(news));
        const sql = formatReplicationCommand({ kind: 'StartStatusStream', version: STATUS_STREAM_VERSION });
        const stream = await connection.copyBoth(sql, following);
        following.begin(stream, this.#options.inCommonWith, this.#wanted.values());
        this.#following = following;
        return await following.end();
      } finally {
        this.#following = undefined;
        await connection.close();
      }
    } catch (error) {
      if (!(error instanceof VarveError) || error instanceof AssertionError) throw error;
      return error;
    }
  }

  #take(news: StatusNews): void {
    const { nodeId, clock, onStates, onMissing } = this.#options;
    if (news.kind === 'hello') {
      if (news.nodeId !== nodeId) {
        throw new VarveError(
          'conflict',
          'WRONG_NODE',
          `safekeeper ${news.nodeId} answers instead of ${nodeId}`,
        );
      }
      this.#streamNumber++;
    }
    this.#heardMs = clock.monotonicMs();
    if (news.kind === 'states') onStates(news.states);
    else if (news.kind === 'missing') onMissing?.(news.keys);
  }
}

/** What is followed over one connection. */
class Following implements CopyReceiver {
  readonly #clock: Clock;
  readonly #onNews: (news: StatusNews) => void;
  readonly #ended = Promise.withResolvers<Error>();
  /** By the timeline's name, the last one: nothing piles up while the safekeeper does not read. */
  readonly #changes = new Map<string, { readonly kind: ChangeKind; readonly key: StatusKey }>();
  #stream: CopyStream | undefined;
  #sending: Promise<void> | undefined;
  #timer: Timer | undefined;
  #heardMs: number;
  #isOver = false;

  constructor(clock: Clock, onNews: (news: StatusNews) => void) {
    this.#clock = clock;
    this.#onNews = onNews;
    this.#heardMs = clock.monotonicMs();
  }

  begin(stream: CopyStream, inCommonWith: number | undefined, wanted: Iterable<StatusKey>): void {
    this.#stream = stream;
    if (inCommonWith !== undefined) this.#send({ kind: 'in-common', nodeId: inCommonWith });
    for (const key of wanted) this.change('add', key);
    this.#watch(SILENCE_MAX_MS);
  }

  change(kind: ChangeKind, key: StatusKey): void {
    const name = nameOf(key);
    if (kind === 'ask' && this.#changes.get(name)?.kind === 'add') return;
    this.#changes.delete(name);
    this.#changes.set(name, { kind, key });
    this.#sending ??= this.#sendChanges();
  }

  /** Resolves with why it ended, when nothing of it goes on any more. */
  async end(): Promise<Error> {
    const error = await this.#ended.promise;
    await this.#sending;
    return error;
  }

  onCopyData(bytes: Uint8Array, offset: number, length: number): void {
    const news = decodeStatusNews(bytes, offset, length);
    this.#heardMs = this.#clock.monotonicMs();
    this.#onNews(news);
    // So that the safekeeper knows that somebody is here.
    if (news.kind === 'keepalive') this.#send({ kind: 'keepalive' });
  }

  onCopyEnd(end: CopyEnd): void {
    this.#finish(
      end.kind === 'failed' ? end.error : new VarveError('unavailable', 'STREAM_ENDED', 'it has ended'),
    );
  }

  #finish(error: Error): void {
    this.#isOver = true;
    this.#timer?.cancel();
    this.#ended.resolve(error);
  }

  #watch(delayMs: number): void {
    if (this.#isOver) return;
    this.#timer = this.#clock.setTimer(delayMs, () => {
      const silentMs = this.#clock.monotonicMs() - this.#heardMs;
      if (silentMs < SILENCE_MAX_MS) this.#watch(SILENCE_MAX_MS - silentMs);
      else
        this.#finish(new VarveError('unavailable', 'STREAM_SILENT', `nothing was heard for ${silentMs} ms`));
    });
  }

  #send(request: StatusRequest): void {
    if (!this.#isOver) this.#stream?.sendCopyData(encodeStatusRequest(request));
  }

  async #sendChanges(): Promise<void> {
    // All that is asked for in one go is sent in one go.
    await this.#clock.yieldToOthers();
    while (this.#changes.size > 0 && !this.#isOver) {
      const byKind = { add: [], remove: [], ask: [] } as Record<ChangeKind, StatusKey[]>;
      let count = 0;
      for (const [name, { kind, key }] of this.#changes) {
        if (count++ === STATUS_TIMELINES_MAX) break;
        byKind[kind].push(key);
        this.#changes.delete(name);
      }
      for (const kind of ['add', 'remove', 'ask'] as const) {
        if (byKind[kind].length > 0) this.#send({ kind, keys: byKind[kind] });
      }
      const stream = this.#stream as CopyStream;
      if (stream.unsentBytes > UNSENT_BYTES_MAX) {
        await Promise.race([stream.drained(UNSENT_BYTES_MAX / 2), this.#ended.promise]);
      }
    }
    this.#sending = undefined;
  }
}

function nameOf({ tenantId, timelineId }: StatusKey): string {
  return `${tenantId}/${timelineId}`;
}
