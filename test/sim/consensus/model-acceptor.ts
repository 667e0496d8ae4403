import { VarveError } from '../../../src/base/errors.ts';
import { Acceptor } from '../../../src/safekeeper/consensus/acceptor.ts';
import type { AcceptorEffect, Decision, LogPosition } from '../../../src/safekeeper/consensus/effects.ts';
import type { AcceptorSnapshot } from '../checkers/snapshots.ts';
import type { ModelDisk } from './model-disk.ts';

interface Running {
  readonly decision: Decision<unknown>;
  readonly done: (outcome: unknown) => void;
  readonly refused: (error: VarveError) => void;
  effect: AcceptorEffect;
}

/** A safekeeper: an acceptor that runs one decision at a time, effect by effect, on a disk, and can crash anywhere. */
export class ModelAcceptor {
  readonly id: number;
  readonly disk: ModelDisk;
  /** Undefined while it is down. */
  acceptor: Acceptor | undefined;
  /** Something has changed that the checkers have not seen. */
  isChanged = true;
  #running: Running | undefined;

  constructor(id: number, disk: ModelDisk) {
    this.id = id;
    this.disk = disk;
    this.restart();
  }

  get isBusy(): boolean {
    return this.#running !== undefined;
  }

  /** The effect that is to be carried out next. */
  get pendingEffect(): AcceptorEffect | undefined {
    return this.#running?.effect;
  }

  restart(): void {
    this.acceptor = new Acceptor(this.id, this.disk.state, this.disk.position);
    this.isChanged = true;
  }

  crash(isInsideEffect: boolean): void {
    const effect = this.#running?.effect;
    if (effect !== undefined && isInsideEffect) this.disk.carryOutInPart(effect);
    this.#running = undefined;
    this.acceptor = undefined;
    this.disk.crash();
  }

  /** Begins a decision, up to its first effect. What a rule refuses goes to `refused`; a bug goes through. */
  run<Outcome>(
    decision: Decision<Outcome>,
    done: (outcome: Outcome) => void,
    refused: (error: VarveError) => void,
  ): void {
    if (this.#running !== undefined) throw new Error('a decision is under way');
    this.#advance(decision, undefined, done as (outcome: unknown) => void, refused);
  }

  /** Carries out one effect. */
  step(): void {
    const running = this.#running;
    if (running === undefined) throw new Error('no decision is under way');
    this.#running = undefined;
    this.#advance(running.decision, this.disk.carryOut(running.effect), running.done, running.refused);
  }

  finish(): void {
    while (this.#running !== undefined) this.step();
  }

  snapshot(): AcceptorSnapshot {
    const { acceptor, disk } = this;
    if (acceptor === undefined) throw new Error('it is down');
    const flushLsn = acceptor.flushLsn;
    return {
      nodeId: this.id,
      generation: acceptor.membership.generation,
      term: acceptor.term,
      termHistory: acceptor.persistent.termHistory,
      flushLsn,
      commitLsn: acceptor.commitLsn,
      persistedCommitLsn: disk.state.commitLsn,
      wal: { beginLsn: 0 as typeof flushLsn, bytes: disk.bytes.subarray(0, flushLsn) },
    };
  }

  #advance(
    decision: Decision<unknown>,
    position: LogPosition | undefined,
    done: (outcome: unknown) => void,
    refused: (error: VarveError) => void,
  ): void {
    this.isChanged = true;
    let next: IteratorResult<AcceptorEffect, unknown>;
    try {
      next = position === undefined ? decision.next() : decision.next(position);
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion' || error.kind === 'corruption')
        throw error;
      refused(error);
      return;
    }
    if (next.done === true) done(next.value);
    else this.#running = { decision, done, refused, effect: next.value };
  }
}
