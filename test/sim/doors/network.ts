import type { Connection } from '../../../src/io/sockets.ts';
import type { SeededRandom } from '../../support/seeded-random.ts';
import { traceLabel } from '../kernel-trace.ts';
import { Link } from './link.ts';
import type { CrashKind, DoorIncarnation, DoorKernel, DoorNode } from './world.ts';

const BLOCK = traceLabel('block');
const HEAL = traceLabel('heal');
const BREAK = traceLabel('break');

/** Somebody who listens. */
export interface Listening {
  readonly incarnation: DoorIncarnation;
  readonly accept: (connection: Connection) => void;
}

/** What all connections have in common. May be changed while it runs, for what begins afterwards. */
export interface NetworkSettings {
  /** What a sender may have on the way and with the receiver before it must hold back. */
  windowBytes: number;
  /** How often a chunk is cut, and how often it waits for the next to be joined with it. */
  cutChance: number;
  joinChance: number;
  /** How long nothing gets through before the sender is told that the connection is lost. */
  breakAfterMs: number;
  connectTimeoutMs: number;
  /** Until then, a peer hears of a machine that has lost its power. */
  keepaliveMs: number;
}

/** Who listens where, and how well each node reaches each other. */
export class SimNetwork {
  readonly kernel: DoorKernel;
  readonly random: SeededRandom;
  readonly settings: NetworkSettings = {
    windowBytes: 256 * 1024,
    cutChance: 0.05,
    joinChance: 0.05,
    breakAfterMs: 15_000,
    connectTimeoutMs: 10_000,
    keepaliveMs: 30_000,
  };
  readonly listeners = new Map<string, Listening>();
  readonly #links = new Map<number, Link>();
  #nextPort = 40_000;

  constructor(kernel: DoorKernel, random: SeededRandom) {
    this.kernel = kernel;
    this.random = random;
  }

  takePort(): number {
    return this.#nextPort++;
  }

  link(from: DoorNode, to: DoorNode): Link {
    const key = from.index * 0x1_0000 + to.index;
    let link = this.#links.get(key);
    if (link === undefined) {
      link = new Link(this.kernel, this.random);
      this.#links.set(key, link);
    }
    return link;
  }

  /** Nothing gets through in this direction, until it is healed. */
  block(from: DoorNode, to: DoorNode): void {
    this.kernel.note(from.index, BLOCK, to.index);
    this.link(from, to).block();
  }

  heal(from: DoorNode, to: DoorNode): void {
    this.kernel.note(from.index, HEAL, to.index);
    this.link(from, to).heal();
  }

  healAll(): void {
    for (const from of this.kernel.nodes) {
      for (const to of this.kernel.nodes) {
        if (this.link(from, to).isBlocked) this.heal(from, to);
      }
    }
  }

  /** Both sides lose the connections between two nodes. */
  breakConnections(one: DoorNode, other: DoorNode): void {
    this.kernel.note(one.index, BREAK, other.index);
    for (const connection of [...(one.incarnation?.connections ?? [])]) {
      if (connection.peerNode === other) connection.reset();
    }
  }

  /** A process is gone. */
  forget(incarnation: DoorIncarnation, kind: CrashKind): void {
    for (const [place, listening] of this.listeners) {
      if (listening.incarnation === incarnation) this.listeners.delete(place);
    }
    for (const connection of incarnation.connections) connection.die(kind);
  }
}
