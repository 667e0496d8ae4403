import { setTimeout as delay } from 'node:timers/promises';
import { type Lsn, parseLsn } from '../../src/base/lsn.ts';
import { EXIT } from '../../src/cli/exit-codes.ts';
import type { ProcessEnd, VarveFamily, VarveProcess } from '../support/varve-process.ts';
import type { Ledger } from './ledger.ts';

const RESTART_DELAY_MS = 100;
/** How it may end by itself: the server has gone for too long, or a successor was elected. */
const EXPECTED_ENDS: readonly ProcessEnd[] = [EXIT.unavailable, EXIT.fenced];

interface ProposerEvent {
  readonly event: 'elected' | 'finished';
  readonly term: number;
  readonly lsn: string;
}

/** The proposer: a process that is killed, and started again whenever it has ended. Each start is an election. */
export class ProposerNode {
  /** Why it ended in a way that it must not. */
  failure: Error | undefined;
  /** How often it ended by itself, for each status. */
  readonly ownEnds = new Map<ProcessEnd, number>();
  readonly #family: VarveFamily;
  readonly #args: readonly string[];
  readonly #ledger: Ledger;
  readonly #tasks: Promise<void>[] = [];
  readonly #processes = new Set<VarveProcess>();
  /** Processes that were killed, and so did not end by themselves. */
  readonly #killed = new Set<VarveProcess>();
  #restartDelayMs = RESTART_DELAY_MS;
  #finishedLsn: Lsn | undefined;
  readonly #elected = new Set<VarveProcess>();
  #isBetweenRuns = true;

  /** @param args what `varve proposer run` is to be told */
  constructor(family: VarveFamily, args: readonly string[], ledger: Ledger) {
    this.#family = family;
    this.#args = ['proposer', 'run', ...args];
    this.#ledger = ledger;
  }

  /** There is one process, which was elected, and nobody is about to take over from it. */
  get isSettled(): boolean {
    return !this.#isBetweenRuns && this.#processes.size === 1 && this.#elected.size === 1;
  }

  start(): void {
    this.#track(this.#run());
  }

  /**
   * `kill -9`.
   * @returns how many processes there were: two where a successor was elected
   */
  async kill(downMs: number): Promise<number> {
    const processes = [...this.#processes];
    this.#restartDelayMs = downMs;
    for (const process of processes) this.#killed.add(process);
    await Promise.all(processes.map((process) => process.kill('SIGKILL')));
    return processes.length;
  }

  /** SIGSTOP, and after a while SIGCONT. With a successor, that is elected meanwhile, and it wakes up fenced. */
  async freeze(durationMs: number, hasSuccessor: boolean): Promise<void> {
    const processes = [...this.#processes];
    for (const process of processes) process.signal('SIGSTOP');
    // It lives on: one of the two fences the other, which then ends.
    if (hasSuccessor) this.#track(this.#runOnce());
    await delay(durationMs);
    for (const process of processes) process.signal('SIGCONT');
  }

  /**
   * Waits until it has ended in order, as it does when the server was shut down and all WAL of that is committed.
   * @returns the final commit LSN
   */
  async finished(): Promise<Lsn> {
    await Promise.all(this.#tasks);
    if (this.#finishedLsn === undefined) throw this.failure ?? new Error('the proposer did not end in order');
    return this.#finishedLsn;
  }

  #track(task: Promise<void>): void {
    // `finished` tells of it.
    task.catch(() => undefined);
    this.#tasks.push(task);
  }

  async #run(): Promise<void> {
    while (this.#finishedLsn === undefined && this.failure === undefined) {
      this.#isBetweenRuns = false;
      await this.#runOnce();
      this.#isBetweenRuns = true;
      const delayMs = this.#restartDelayMs;
      this.#restartDelayMs = RESTART_DELAY_MS;
      await delay(delayMs);
    }
  }

  async #runOnce(): Promise<void> {
    const acknowledged = this.#ledger.entries.length;
    const process = this.#family.start(this.#args);
    this.#processes.add(process);
    try {
      for (;;) {
        const { event, term, lsn } = await process.line<ProposerEvent>();
        if (event === 'elected') {
          this.#elected.add(process);
          this.#ledger.recordElection({ acknowledged, term, startLsn: parseLsn(lsn) });
        } else {
          this.#finishedLsn = parseLsn(lsn);
        }
      }
    } catch {
      // It prints no more lines.
    }
    const end = await process.ended;
    this.#processes.delete(process);
    this.#elected.delete(process);
    if (this.#killed.delete(process) || end === EXIT.success) return;
    this.ownEnds.set(end, (this.ownEnds.get(end) ?? 0) + 1);
    if (EXPECTED_ENDS.includes(end)) return;
    this.failure ??= new Error(`the proposer ended with ${end}: ${process.errorText.slice(-3000)}`);
  }
}
