import type { Clock } from '../../src/io/clock.ts';
import type { Files } from '../../src/io/files.ts';
import type { Random } from '../../src/io/random.ts';
import type { Sockets } from '../../src/io/sockets.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import { SimClock, WallClock } from './doors/clock.ts';
import { Disk, type Survival } from './doors/disk.ts';
import { SimFiles } from './doors/files.ts';
import type { SimNetwork } from './doors/network.ts';
import { SimRandom } from './doors/random.ts';
import { SimSockets } from './doors/sockets.ts';
import type { CrashKind, CrashMoment, DoorConnection, DoorIncarnation, DoorNode } from './doors/world.ts';
import type { EventLoop } from './kernel-loop.ts';
import { traceLabel } from './kernel-trace.ts';

export type { CrashKind, CrashMoment } from './doors/world.ts';

const START = traceLabel('start');
const CRASH = traceLabel('crash');

/** What a simulated process has of the world. */
export interface SimDoors {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly sockets: Sockets;
}

/** What a node has of the kernel that it belongs to. */
export interface NodeKernel extends EventLoop {
  readonly network: SimNetwork;
  readonly nodes: readonly SimNode[];
}

export interface CrashOptions {
  readonly kind?: CrashKind;
  /** What of the un-synced is left after `power`; drawn where it is not given. */
  readonly survival?: Survival;
}

interface PlannedCrash {
  effectsLeft: number;
  readonly moment: CrashMoment;
  readonly options: CrashOptions;
}

/** One life of a node: from its start to its crash. Its doors are of no effect when it is over. */
export class Incarnation implements DoorIncarnation {
  readonly node: SimNode;
  readonly connections = new Set<DoorConnection>();
  readonly doors: SimDoors;
  isAlive = true;
  /** Effects so far: changes on the disk, and sends. */
  effectCount = 0;

  constructor(node: SimNode, random: SeededRandom) {
    this.node = node;
    this.doors = {
      clock: new SimClock(this, random.fork()),
      random: new SimRandom(random.fork()),
      files: new SimFiles(this),
      sockets: new SimSockets(this, node.kernel.network),
    };
  }

  get kernel(): NodeKernel {
    return this.node.kernel;
  }

  /** The doors ask as an effect begins. With an answer they crash the node at that moment of it. */
  beginEffect(): CrashMoment | undefined {
    this.effectCount++;
    const planned = this.node.plannedCrash;
    if (planned === undefined || --planned.effectsLeft > 0) return undefined;
    return planned.moment;
  }
}

/**
 * A simulated machine with one process on it. The disk and the clock outlive the process.
 *
 * After a crash the code of the dead incarnation runs at most to the end of the event it is in. Its calls to the
 * doors do nothing and their promises never settle: throwing would send it through its error handling, whose
 * rejections nobody takes.
 */
export class SimNode implements DoorNode {
  readonly kernel: NodeKernel;
  readonly name: string;
  readonly index: number;
  readonly disk: Disk;
  readonly wallClock: WallClock;
  /** Where its monotonic clock began. */
  readonly monotonicOffsetMs: number;
  incarnation: Incarnation | undefined;
  /** The machine is off: it does not even refuse. */
  isOff = false;
  /** Called within the crash: plan the restart here. */
  onCrash: ((kind: CrashKind) => void) | undefined;
  plannedCrash: PlannedCrash | undefined;
  readonly #random: SeededRandom;

  constructor(kernel: NodeKernel, name: string, index: number, random: SeededRandom) {
    this.kernel = kernel;
    this.name = name;
    this.index = index;
    this.#random = random;
    this.wallClock = new WallClock(kernel);
    this.disk = new Disk(random.fork(), () => this.wallClock.nowMs());
    this.monotonicOffsetMs = random.below(1_000_000_000) / 1000;
  }

  get isAlive(): boolean {
    return this.incarnation !== undefined;
  }

  /** Begins a new life, whose code runs as the next event. The run fails if `main` does. */
  start(main: (doors: SimDoors) => void | Promise<void>): Incarnation {
    if (this.incarnation !== undefined) throw new Error(`${this.name} is running already`);
    const incarnation = new Incarnation(this, this.#random.fork());
    this.incarnation = incarnation;
    this.isOff = false;
    const failed = (error: unknown): void => {
      if (incarnation.isAlive) this.kernel.fail(error);
    };
    this.kernel.after(incarnation, 0, () => {
      this.kernel.note(this.index, START);
      const running = main(incarnation.doors);
      if (running !== undefined) running.catch(failed);
    });
    return incarnation;
  }

  /** A crash, if it is running, and a new life. */
  restart(main: (doors: SimDoors) => void | Promise<void>, options: CrashOptions = {}): Incarnation {
    this.crash(options);
    return this.start(main);
  }

  /** Ends the process at once. Does nothing if there is none. */
  crash(options: CrashOptions = {}): void {
    const incarnation = this.incarnation;
    if (incarnation === undefined) return;
    const kind = options.kind ?? 'power';
    this.kernel.note(this.index, CRASH, kind === 'power' ? 1 : 0);
    incarnation.isAlive = false;
    this.incarnation = undefined;
    this.plannedCrash = undefined;
    this.isOff = kind === 'power';
    this.kernel.network.forget(incarnation, kind);
    if (kind === 'power') this.disk.losePower(options.survival);
    else this.disk.loseProcess();
    this.onCrash?.(kind);
  }

  /** Crashes at the `count`-th effect from now (1 is the next one). */
  crashAtEffect(count: number, moment: CrashMoment, options: CrashOptions = {}): void {
    this.plannedCrash = { effectsLeft: count, moment, options };
  }

  /** What the doors call where `beginEffect` told them to. */
  crashAsPlanned(): void {
    this.crash(this.plannedCrash?.options);
  }
}
