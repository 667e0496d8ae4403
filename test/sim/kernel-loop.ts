import { SeededRandom } from '../support/seeded-random.ts';
import { EventQueue, type Owner, SimEvent } from './kernel-queue.ts';
import { Trace } from './kernel-trace.ts';

export interface RunOptions {
  /** Stop before anything that is later than this, in simulated milliseconds since the start. */
  readonly untilMs?: number;
  /** Stop after this many events in this run. */
  readonly maxSteps?: number;
  /** Asked before each event. */
  readonly until?: () => boolean;
}

export type StopReason = 'idle' | 'deadline' | 'steps' | 'until';

/** Now and then the real event loop gets its turn, or nothing else in this process would ever run. */
const TURNS_PER_REAL_TURN = 20_000;
/** `perform` waits this often for the real event loop before it says that nothing can happen any more. */
const PATIENCE_TURNS = 20;

/**
 * Simulated time: takes one event after another, in order of their times, and lets all that became ready by it run
 * before the next. The same seed and the same code give the same run.
 *
 * What runs inside must wait for nothing but the doors: no real timer, no real I/O, no process.nextTick.
 */
export class EventLoop {
  readonly seed: number;
  readonly random: SeededRandom;
  readonly trace: Trace;
  /** Events that have happened. */
  steps = 0;
  /** Whose event the last one was: what runs until the next is of its doing. */
  runningOwner: Owner | undefined;
  nowUs = 0;
  readonly #queue = new EventQueue();
  #sequence = 0;
  #failure: { readonly error: unknown } | undefined;

  /** @param traceCapacity how many trace entries are kept for reading */
  constructor(seed: number, traceCapacity: number) {
    this.seed = seed;
    this.random = new SeededRandom(seed);
    this.trace = new Trace(traceCapacity);
  }

  /** Plans an event. It is dropped if its owner is dead by then. */
  after(owner: Owner | undefined, delayUs: number, action: () => void): SimEvent {
    return this.at(owner, this.nowUs + delayUs, action);
  }

  at(owner: Owner | undefined, timeUs: number, action: () => void): SimEvent {
    const event = new SimEvent(Math.max(timeUs, this.nowUs), this.#sequence++, owner, action);
    this.#queue.push(event);
    return event;
  }

  /** Adds to the trace. See `traceLabel`. */
  note(nodeIndex: number, label: number, first = 0, second = 0): void {
    this.trace.add(this.nowUs, nodeIndex, label, first, second);
  }

  /** Ends the run with an error. The first one counts. */
  fail(error: unknown): void {
    this.#failure ??= { error };
  }

  /** Runs until there is a reason to stop. Rejects with what an event threw, or what `fail` was given. */
  run(options: RunOptions = {}): Promise<StopReason> {
    const lastStep = this.steps + (options.maxSteps ?? Number.POSITIVE_INFINITY);
    const lastUs = (options.untilMs ?? Number.POSITIVE_INFINITY) * 1000;
    let turns = 0;
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        let reason: StopReason | undefined;
        try {
          reason = this.#turn(options, lastStep, lastUs);
        } catch (error) {
          reject(error);
          return;
        }
        if (reason !== undefined) resolve(reason);
        else if (++turns % TURNS_PER_REAL_TURN === 0) setImmediate(turn);
        else queueMicrotask(microtasksBegin);
      };
      // A tick that is asked for within a microtask comes when no microtask is left: the cheapest documented way to
      // wait for them all (a quarter of a microsecond; setImmediate and MessageChannel take three times as long).
      const microtasksBegin = (): void => process.nextTick(turn);
      queueMicrotask(microtasksBegin);
    });
  }

  /** Runs the nodes until `action` is done, as code that belongs to no node. For tests. */
  async perform<Result>(action: () => Promise<Result>): Promise<Result> {
    let outcome: { readonly value: Result } | { readonly error: unknown } | undefined;
    const settled = action().then(
      (value) => {
        outcome = { value };
      },
      (error: unknown) => {
        outcome = { error };
      },
    );
    for (let idleTurns = 0; outcome === undefined; idleTurns++) {
      const stepsBefore = this.steps;
      await this.run({ until: () => outcome !== undefined });
      if (this.steps > stepsBefore) idleTurns = 0;
      if (idleTurns > PATIENCE_TURNS) throw new Error('nothing can happen any more, and this is not done');
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await settled;
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  }

  #turn(options: RunOptions, lastStep: number, lastUs: number): StopReason | undefined {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (options.until?.() === true) return 'until';
    if (this.steps >= lastStep) return 'steps';
    const next = this.#queue.peek();
    if (next !== undefined && next.timeUs <= lastUs) {
      this.#queue.pop();
      this.nowUs = next.timeUs;
      this.steps++;
      const action = next.action as () => void;
      next.action = undefined;
      this.runningOwner = next.owner;
      action();
      return undefined;
    }
    if (lastUs === Number.POSITIVE_INFINITY) return 'idle';
    this.nowUs = Math.max(this.nowUs, lastUs);
    return next === undefined ? 'idle' : 'deadline';
  }
}
