import { AssertionError, BadRequestError, VarveError } from '../../../src/base/errors.ts';
import type { Receiver } from '../../../src/io/sockets.ts';
import { traceLabel } from '../kernel-trace.ts';
import { copyChunk } from './chunks.ts';
import { Incoming } from './incoming.ts';
import type { Link } from './link.ts';
import type { SimNetwork } from './network.ts';
import type { CrashKind, DoorConnection, DoorIncarnation, DoorNode } from './world.ts';

const SEND = traceLabel('send');
const ARRIVE = traceLabel('arrive');
const END = traceLabel('end');
const CLOSE = traceLabel('close');
const LOST = traceLabel('lost');

const MAX_LEAVE_US = 30;
/** How often what could leave at once waits, as in a sender whose operating system is busy. */
const LATE_CHANCE = 0.1;

interface Unsent {
  readonly bytes: Uint8Array;
  readonly sent: (() => void) | undefined;
}

/** What is on the way: bytes, the end of the stream, or the news that the connection is gone. */
type InFlight = Uint8Array | 'end' | 'reset';

/** One end of a simulated TCP connection. */
export class SimConnection implements DoorConnection {
  readonly peer: string;
  readonly peerNode: DoorNode;
  /** Set once, before anybody has the connection. */
  other!: SimConnection;
  unsentBytes = 0;
  isClosed = false;
  readonly #incarnation: DoorIncarnation;
  readonly #network: SimNetwork;
  readonly #link: Link;
  readonly #flight: InFlight[] = [];
  readonly #arrive: () => void;
  readonly #incoming: Incoming;
  /** Sent, and not taken by the other side's receiver yet. */
  #windowBytes = 0;
  #lastArrivalUs = 0;
  #unsent: Unsent[] = [];
  #firstUnsentAt = 0;
  #isPumpPlanned = false;
  #isWatched = false;
  #hasEnded = false;
  #hasEndLeft = false;
  #drainWaiters: { readonly limitBytes: number; readonly resolve: () => void }[] = [];

  constructor(incarnation: DoorIncarnation, network: SimNetwork, peerNode: DoorNode, peer: string) {
    this.#incarnation = incarnation;
    this.#network = network;
    this.#link = network.link(incarnation.node, peerNode);
    this.peerNode = peerNode;
    this.peer = peer;
    this.#arrive = () => this.other.#onArrival();
    this.#incoming = new Incoming(incarnation, network, {
      taken: (lengthBytes) => this.other.#windowOpens(lengthBytes),
      endTold: () => this.#closeIfBothEnded(),
    });
    incarnation.connections.add(this);
  }

  /** Holds this end's sends back for so long. Returns until when they are held back in all. */
  nothingArrivesBeforeUs(timeUs: number): number {
    this.#lastArrivalUs = Math.max(this.#lastArrivalUs, timeUs);
    return this.#lastArrivalUs;
  }

  receive(receiver: Receiver): void {
    this.#incoming.receive(receiver);
  }

  pause(): void {
    this.#incoming.pause();
  }

  resume(): void {
    this.#incoming.resume();
  }

  send(bytes: Uint8Array, sent?: () => void): void {
    if (this.isClosed || !this.#incarnation.isAlive) return;
    if (this.#hasEnded) throw new AssertionError('nothing is sent after the end');
    const { kernel, node } = this.#incarnation;
    const moment = this.#incarnation.beginEffect();
    kernel.note(node.index, SEND, this.peerNode.index, bytes.length);
    if (moment !== undefined) {
      const { random } = this.#network;
      const leaveBytes =
        moment === 'before' ? 0 : moment === 'after' ? bytes.length : random.below(bytes.length);
      if (leaveBytes > 0 && this.unsentBytes === 0) this.#transmit(copyChunk(bytes, 0, leaveBytes));
      this.#incarnation.node.crashAsPlanned();
      return;
    }
    const { settings, random } = this.#network;
    const fits = this.#unsent.length === 0 && this.#windowBytes + bytes.length <= settings.windowBytes;
    if (fits && sent === undefined && !random.chance(LATE_CHANCE)) {
      if (bytes.length > 0) this.#transmit(copyChunk(bytes, 0, bytes.length));
      return;
    }
    this.#unsent.push({ bytes, sent });
    this.unsentBytes += bytes.length;
    this.#planPump();
  }

  async drained(limitBytes: number): Promise<void> {
    if (this.isClosed && this.#incarnation.isAlive) return;
    if (this.#incarnation.isAlive && this.unsentBytes <= limitBytes) return;
    await new Promise<void>((resolve) => this.#drainWaiters.push({ limitBytes, resolve }));
  }

  end(): void {
    if (this.isClosed || this.#hasEnded || !this.#incarnation.isAlive) return;
    this.#incarnation.kernel.note(this.#incarnation.node.index, END, this.peerNode.index);
    this.#hasEnded = true;
    this.#planPump();
  }

  close(): void {
    if (this.isClosed || !this.#incarnation.isAlive) return;
    this.#incarnation.kernel.note(this.#incarnation.node.index, CLOSE, this.peerNode.index);
    this.#hangUp();
    this.#becomeClosed(undefined);
  }

  secureAsServer(): Promise<void> {
    return this.#refuseTls();
  }

  secureAsClient(): Promise<void> {
    return this.#refuseTls();
  }

  /** The network has lost the connection: both sides hear of it. */
  reset(): void {
    if (this.isClosed) return;
    this.#sendReset();
    this.#lose('the connection was reset');
  }

  /** The process of this end is gone. */
  die(kind: CrashKind): void {
    if (this.isClosed) return;
    this.isClosed = true;
    const { kernel, random, settings } = this.#network;
    if (kind === 'kill') {
      this.#hangUp();
      return;
    }
    const { other } = this;
    const silentUs = random.below(settings.keepaliveMs * 1000);
    kernel.after(other.#incarnation, silentUs, () => other.#lose('the other side does not answer'));
  }

  /** The operating system says good-bye: in order, or at once where something had come that nobody has read. */
  #hangUp(): void {
    const hasUnread =
      this.#incoming.hasUnread || this.other.#flight.some((item) => item instanceof Uint8Array);
    if (this.other.isClosed) return;
    if (hasUnread) this.#sendReset();
    else if (!this.#hasEndLeft) this.#putInFlight('end');
    this.#hasEndLeft = true;
  }

  /** A reset overtakes what is on the way, and so may lose some of it. */
  #sendReset(): void {
    this.#flight.length = this.#network.random.below(this.#flight.length + 1);
    this.#putInFlight('reset');
  }

  #transmit(chunk: Uint8Array): void {
    this.#windowBytes += chunk.length;
    this.#putInFlight(chunk);
    const { other } = this;
    // An end whose process was killed answers with a reset. One whose machine is off does not.
    if (other.isClosed && other.#hasEndLeft) this.#resetFromPeer();
  }

  #resetFromPeer(): void {
    const lose = (): void => this.#lose('the other side has closed it');
    this.#link.carry(this.#incarnation, () => this.other.#link.carry(this.#incarnation, lose));
  }

  #putInFlight(item: InFlight): void {
    this.#flight.push(item);
    this.#lastArrivalUs = Math.max(this.#lastArrivalUs, this.#link.arrivalUs());
    this.#link.carry(this.other.#incarnation, this.#arrive, this.#lastArrivalUs, this.#watch);
    if (this.other.#link.isBlocked) this.#watch();
  }

  /** A sender whose bytes or whose acknowledgements do not get through for long gives up. */
  readonly #watch = (): void => {
    if (this.#isWatched) return;
    this.#isWatched = true;
    const breakAfterUs = this.#network.settings.breakAfterMs * 1000;
    this.#network.kernel.after(this.#incarnation, breakAfterUs, () => {
      this.#isWatched = false;
      const blockedUs = Math.max(this.#link.blockedUs, this.other.#link.blockedUs);
      if (blockedUs >= breakAfterUs) this.reset();
      else if (blockedUs > 0) this.#watch();
    });
  };

  #planPump(): void {
    if (this.#isPumpPlanned) return;
    this.#isPumpPlanned = true;
    const { kernel } = this.#network;
    kernel.after(this.#incarnation, this.#network.random.below(MAX_LEAVE_US), () => {
      this.#isPumpPlanned = false;
      this.#pump();
    });
  }

  /** Lets leave what the window allows. */
  #pump(): void {
    const { windowBytes } = this.#network.settings;
    while (this.#unsent.length > 0 && !this.isClosed) {
      const { bytes, sent } = this.#unsent[0] as Unsent;
      const from = this.#firstUnsentAt;
      const leaveBytes = Math.min(bytes.length - from, windowBytes - this.#windowBytes);
      if (leaveBytes <= 0 && bytes.length > from) break;
      if (leaveBytes > 0) {
        this.#transmit(copyChunk(bytes, from, from + leaveBytes));
        this.unsentBytes -= leaveBytes;
      }
      this.#firstUnsentAt += leaveBytes;
      if (this.#firstUnsentAt < bytes.length) break;
      this.#firstUnsentAt = 0;
      this.#unsent.shift();
      sent?.();
    }
    this.#tellDrained();
    if (!this.#hasEnded || this.#hasEndLeft || this.#unsent.length > 0 || this.isClosed) return;
    this.#hasEndLeft = true;
    this.#putInFlight('end');
    this.#closeIfBothEnded();
  }

  #tellDrained(): void {
    if (this.#drainWaiters.length === 0) return;
    const isReady = (waiter: { limitBytes: number }): boolean =>
      this.isClosed || this.unsentBytes <= waiter.limitBytes;
    const ready = this.#drainWaiters.filter(isReady);
    this.#drainWaiters = this.#drainWaiters.filter((waiter) => !isReady(waiter));
    for (const { resolve } of ready) resolve();
  }

  /** Something from the other side is here. */
  #onArrival(): void {
    const item = this.other.#flight.shift();
    if (item === undefined || this.isClosed) return;
    if (item === 'reset') {
      this.#lose('the other side is gone');
      return;
    }
    if (item !== 'end') {
      this.#network.kernel.note(this.#incarnation.node.index, ARRIVE, this.peerNode.index, item.length);
    }
    this.#incoming.add(item);
  }

  /** The other side has taken so many bytes. It takes a while until that is known here. */
  #windowOpens(lengthBytes: number): void {
    this.#windowBytes -= lengthBytes;
    if (this.#unsent.length === 0 || this.#isPumpPlanned) return;
    this.#isPumpPlanned = true;
    this.other.#link.carry(this.#incarnation, () => {
      this.#isPumpPlanned = false;
      this.#pump();
    });
  }

  #closeIfBothEnded(): void {
    if (!this.#hasEndLeft || !this.#incoming.isEndTold || this.isClosed) return;
    this.#becomeClosed(undefined);
  }

  #lose(reason: string): void {
    if (this.isClosed) return;
    this.#network.kernel.note(this.#incarnation.node.index, LOST, this.peerNode.index);
    this.#becomeClosed(new VarveError('unavailable', 'CONNECTION_LOST', `${reason} (${this.peer})`));
  }

  #becomeClosed(error: Error | undefined): void {
    this.isClosed = true;
    this.#unsent = [];
    this.unsentBytes = 0;
    this.#incarnation.connections.delete(this);
    this.#tellDrained();
    this.#incoming.close(error);
  }

  async #refuseTls(): Promise<void> {
    throw new BadRequestError('TLS_FAILED', 'simulated connections cannot be made secure');
  }
}
