import type { Connection } from '../../../src/io/sockets.ts';
import type { Owner, SimEvent } from '../kernel-queue.ts';
import type { Disk } from './disk.ts';

/**
 * - `kill`: the process is gone; the operating system lives, keeps what was written, and says good-bye to the peers
 * - `power`: the machine is gone; of what was not synced nobody knows what is left, and the peers hear nothing for long
 */
export type CrashKind = 'kill' | 'power';

/** Where in an effect the crash comes: not done at all, done in part, or done but nobody heard of it. */
export type CrashMoment = 'before' | 'middle' | 'after';

/** What the doors need of the kernel: the time, events to plan, and who else is there. */
export interface DoorKernel {
  readonly nowUs: number;
  readonly nodes: readonly DoorNode[];
  after(owner: Owner | undefined, delayUs: number, action: () => void): SimEvent;
  at(owner: Owner | undefined, timeUs: number, action: () => void): SimEvent;
  note(nodeIndex: number, label: number, first?: number, second?: number): void;
}

/** What the doors need of the machine that they are doors of, or that they reach. */
export interface DoorNode {
  readonly name: string;
  readonly index: number;
  readonly disk: Disk;
  readonly wallClock: { nowMs(): number };
  readonly monotonicOffsetMs: number;
  /** Its life that goes on now. */
  readonly incarnation: DoorIncarnation | undefined;
  /** The machine is off: it does not even refuse. */
  readonly isOff: boolean;
  /** Crashes it where `beginEffect` said so. */
  crashAsPlanned(): void;
}

/** What the doors need of the life that they belong to. They have no effect when it is over. */
export interface DoorIncarnation extends Owner {
  readonly kernel: DoorKernel;
  readonly node: DoorNode;
  /** Its ends of the connections that are open. */
  readonly connections: Set<DoorConnection>;
  readonly effectCount: number;
  /** Called as an effect begins. With an answer the door crashes the node at that moment of it. */
  beginEffect(): CrashMoment | undefined;
}

/** An end of a connection, with what the network does to it. */
export interface DoorConnection extends Connection {
  readonly peerNode: DoorNode;
  /** The network has lost the connection: both sides hear of it. */
  reset(): void;
  /** The process of this end is gone. */
  die(kind: CrashKind): void;
}
