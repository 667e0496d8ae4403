import type { Receiver } from '../../../src/io/sockets.ts';
import { concatenate } from './chunks.ts';
import type { SimNetwork } from './network.ts';
import type { DoorIncarnation } from './world.ts';

const MAX_JOIN_US = 500;

/** What an end of a connection does when its receiver has been told something. */
export interface IncomingSteps {
  /** The receiver is about to get so many bytes. */
  taken(lengthBytes: number): void;
  /** The receiver knows that no more comes. */
  endTold(): void;
}

/**
 * What has come to one end of a connection, and how its receiver hears of it: in pieces that need not be those that
 * were sent, one in each event, and not while it pauses.
 */
export class Incoming {
  readonly #incarnation: DoorIncarnation;
  readonly #network: SimNetwork;
  readonly #steps: IncomingSteps;
  #chunks: Uint8Array[] = [];
  #receiver: Receiver | undefined;
  #isPaused = false;
  #isDeliveryPlanned = false;
  #hasPeerEnded = false;
  #isEndTold = false;
  #closing: { readonly error: Error | undefined } | undefined;

  constructor(incarnation: DoorIncarnation, network: SimNetwork, steps: IncomingSteps) {
    this.#incarnation = incarnation;
    this.#network = network;
    this.#steps = steps;
  }

  get hasUnread(): boolean {
    return this.#chunks.length > 0;
  }

  get isEndTold(): boolean {
    return this.#isEndTold;
  }

  receive(receiver: Receiver): void {
    this.#receiver = receiver;
    if (this.#closing === undefined) this.#planDelivery(0);
    else this.#planClosed();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#planDelivery(0);
  }

  /** Something has come. It may wait for what comes next. */
  add(item: Uint8Array | 'end'): void {
    if (item === 'end') this.#hasPeerEnded = true;
    else this.#chunks.push(item);
    if (this.#isDeliveryPlanned) return;
    const { random, settings } = this.#network;
    if (random.chance(settings.joinChance)) this.#planDelivery(random.below(MAX_JOIN_US));
    else this.#deliver();
  }

  /** Forgets what is unread: the receiver hears of nothing but this. Called once. */
  close(error: Error | undefined): void {
    this.#closing = { error };
    this.#chunks = [];
    this.#planClosed();
  }

  #planDelivery(delayUs: number): void {
    if (this.#isDeliveryPlanned) return;
    this.#isDeliveryPlanned = true;
    this.#network.kernel.after(this.#incarnation, delayUs, () => {
      this.#isDeliveryPlanned = false;
      if (!this.#isPaused && this.#chunks.length > 1) this.#chunks = [concatenate(this.#chunks)];
      this.#deliver();
    });
  }

  /** Tells the receiver one thing. What is left comes in an event of its own. */
  #deliver(): void {
    const receiver = this.#receiver;
    if (receiver === undefined || this.#isPaused || this.#closing !== undefined) return;
    let chunk = this.#chunks.shift();
    if (chunk === undefined) {
      if (!this.#hasPeerEnded || this.#isEndTold) return;
      this.#isEndTold = true;
      receiver.onEnd();
      this.#steps.endTold();
      return;
    }
    const { random, settings } = this.#network;
    if (chunk.length > 1 && random.chance(settings.cutChance)) {
      const cutAt = 1 + random.below(chunk.length - 1);
      this.#chunks.unshift(chunk.subarray(cutAt));
      chunk = chunk.subarray(0, cutAt);
    }
    this.#steps.taken(chunk.length);
    if (this.#chunks.length > 0 || this.#hasPeerEnded) this.#planDelivery(0);
    receiver.onBytes(chunk);
  }

  #planClosed(): void {
    this.#network.kernel.after(this.#incarnation, 0, () => {
      const receiver = this.#receiver;
      // Whoever receives by then is told, once.
      this.#receiver = undefined;
      receiver?.onClosed(this.#closing?.error);
    });
  }
}
