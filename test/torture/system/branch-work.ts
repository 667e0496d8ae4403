import { setTimeout as delay } from 'node:timers/promises';
import type { SeededRandom } from '../../support/seeded-random.ts';
import { lookAt } from './branch-checks.ts';
import { type BranchSurroundings, BranchUnderLoad } from './branch-under-load.ts';
import type { Outcome } from './control-requests.ts';
import type { Expectation, HistoryPoint, Ledger } from './ledger.ts';

const PAUSE_MS = { min: 200, max: 2500 };
/** Each has a server, which has its memory. */
const LOADED_MAX = 4;
const BRANCHES_MAX = 7;
const CLIENTS = 2;
const UNDER_WAY_MAX = 2;
const SERVE_AGAIN_MS = 200;

export interface WorkFindings {
  lost: number;
  /** One line each. */
  readonly wrong: string[];
  readonly stuck: string[];
}

type Action = 'create' | 'reset' | 'restore' | 'remove' | 'look' | 'move';
const WEIGHTS: Readonly<Record<Action, number>> = {
  create: 5,
  reset: 3,
  restore: 2,
  remove: 1.5,
  look: 4,
  move: 1.5,
};

/** Makes branches, resets, restores and removes them, and looks whether each has what it has to have. */
export class BranchWork {
  readonly branches: BranchUnderLoad[] = [];
  readonly counts = new Map<string, number>();
  readonly #ledger: Ledger;
  readonly #random: SeededRandom;
  readonly #surroundings: BranchSurroundings;
  readonly #findings: WorkFindings;
  readonly #underWay = new Map<Promise<void>, string>();
  /** Given when nothing is waited for any more. */
  readonly #patience: AbortSignal;
  #made = 0;

  constructor(
    ledger: Ledger,
    random: SeededRandom,
    surroundings: BranchSurroundings,
    findings: WorkFindings,
    patience: AbortSignal,
  ) {
    this.#ledger = ledger;
    this.#random = random;
    this.#surroundings = surroundings;
    this.#findings = findings;
    this.#patience = patience;
  }

  /** What goes on, in words. */
  get underWay(): readonly string[] {
    return [...this.#underWay.values()];
  }

  /** A branch that is there already. */
  add(branch: BranchUnderLoad): void {
    this.branches.push(branch);
  }

  /** Begins one thing after another until the signal is given. What was begun may still go on. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#underWay.size < UNDER_WAY_MAX) this.#begin();
      // The signal ends the wait, and the loop.
      await delay(this.#random.between(PAUSE_MS.min, PAUSE_MS.max), undefined, { signal }).catch(
        () => undefined,
      );
    }
  }

  async settled(): Promise<void> {
    await Promise.all(this.#underWay.keys());
  }

  #begin(): void {
    const random = this.#random.fork();
    const names = Object.keys(WEIGHTS) as Action[];
    let chosen = random.fraction() * names.reduce((sum, name) => sum + WEIGHTS[name], 0);
    const action = names.find((name) => (chosen -= WEIGHTS[name]) < 0) as Action;
    const candidates = this.branches.filter((branch) => !branch.isBusy && this.#suits(action, branch));
    if (candidates.length === 0) return;
    const branch = random.pick(candidates);
    // What is made of a parent needs that to stay what it is.
    const both = action === 'reset' ? [branch, branch.parent as BranchUnderLoad] : [branch];
    for (const each of both) each.isBusy = true;
    this.#begun(action);
    const text = `${action} ${branch.name}`;
    this.#surroundings.onEvent(text);
    const task = this.#act(action, branch, random)
      .catch((error: Error) => {
        this.#findings.stuck.push(`${text}: ${error.message}`);
      })
      .finally(() => {
        this.#surroundings.onEvent(`over: ${text}`);
        for (const each of both) each.isBusy = false;
        this.#underWay.delete(task);
      });
    this.#underWay.set(task, text);
  }

  #begun(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }

  #suits(action: Action, branch: BranchUnderLoad): boolean {
    const isParent = this.branches.some(({ parent }) => parent === branch);
    switch (action) {
      case 'create':
        return this.branches.length < BRANCHES_MAX;
      case 'reset':
        return branch.parent !== undefined && !branch.parent.isBusy;
      case 'restore':
        return this.branches.length < BRANCHES_MAX && branch.history.points.length > 0;
      case 'remove':
        return !isParent && branch.parent !== undefined && branch.name !== 'main';
      default:
        return true;
    }
  }

  async #act(action: Action, branch: BranchUnderLoad, random: SeededRandom): Promise<void> {
    switch (action) {
      case 'create':
        return await this.#create(branch, random);
      case 'reset':
        return await this.#reset(branch, random);
      case 'restore':
        return await this.#restore(branch, random);
      case 'remove':
        return await this.#remove(branch);
      case 'look':
        await this.#look(branch);
        return;
      case 'move':
        return await this.#move(branch, random);
    }
  }

  async #create(parent: BranchUnderLoad, random: SeededRandom): Promise<void> {
    const name = `branch-${++this.#made}`;
    const { history } = parent;
    const { body, point } = pickPoint(history.points, random);
    const before = this.#ledger.now;
    const outcome = await this.#surroundings.requests.createBranch({ name, parent: parent.name, ...body });
    if (this.#isRefused(`create ${name} of ${parent.name} at ${JSON.stringify(body)}`, outcome)) return;
    const left = point ?? { acknowledgedBy: before, begunBy: this.#ledger.now };
    const branch = this.#newBranch(name, parent, history.expectationAt(left));
    branch.isBusy = true;
    try {
      await this.#serve(branch);
      const loaded = this.branches.filter(({ acknowledgedOf }) => acknowledgedOf.length > 0).length;
      if (loaded < LOADED_MAX) branch.startClients(CLIENTS, random);
    } finally {
      branch.isBusy = false;
    }
  }

  async #reset(branch: BranchUnderLoad, random: SeededRandom): Promise<void> {
    const parent = branch.parent as BranchUnderLoad;
    const isParent = this.branches.some((each) => each.parent === branch);
    const keepAs = isParent || (random.chance(0.4) && this.branches.length < BRANCHES_MAX);
    const kept = keepAs ? `kept-${++this.#made}` : undefined;
    const before = this.#ledger.now;
    await this.#replace(
      branch,
      kept,
      `reset ${branch.name} to ${parent.name}`,
      () => this.#surroundings.requests.resetBranch(branch.name, kept === undefined ? {} : { keepAs: kept }),
      () => parent.history.expectationAt({ acknowledgedBy: before, begunBy: this.#ledger.now }),
      parent,
    );
  }

  async #restore(branch: BranchUnderLoad, random: SeededRandom): Promise<void> {
    const kept = `kept-${++this.#made}`;
    const { history } = branch;
    const { point, body } = pickPoint(history.points, random, false);
    await this.#replace(
      branch,
      kept,
      `restore ${branch.name} to ${JSON.stringify(body)}`,
      () => this.#surroundings.requests.restoreBranch(branch.name, { ...body, keepAs: kept }),
      () => history.expectationAt(point as HistoryPoint),
      undefined,
    );
  }

  /** @param parent of what the branch is then; undefined: the branch that keeps the old one */
  async #replace(
    branch: BranchUnderLoad,
    keptName: string | undefined,
    text: string,
    request: () => Promise<Outcome>,
    expected: () => Expectation,
    parent: BranchUnderLoad | undefined,
  ): Promise<void> {
    const old = branch.history;
    const oldParent = branch.parent;
    old.close();
    if (this.#isRefused(text, await request())) return old.reopen();
    const { undecided } = old;
    branch.history = this.#ledger.historyFrom(expected(), undecided);
    const kept =
      keptName === undefined
        ? undefined
        : this.#newBranch(keptName, oldParent, old.expectation(this.#ledger.now));
    if (kept !== undefined) {
      kept.isBusy = true;
      for (const each of this.branches) if (each.parent === branch) each.parent = kept;
    }
    branch.parent = parent ?? kept;
    try {
      await branch.settled();
      const now = await this.#look(branch);
      if (kept === undefined) return;
      const then = await this.#serve(kept);
      const nowhere = undecided.filter(
        ({ id, acknowledged }) => acknowledged !== undefined && !now.has(id) && !then.has(id),
      );
      this.#lost(
        `${text}, neither on it nor on ${kept.name}`,
        nowhere.map(({ id }) => id),
      );
    } finally {
      if (kept !== undefined) kept.isBusy = false;
    }
  }

  async #remove(branch: BranchUnderLoad): Promise<void> {
    await this.#look(branch);
    await branch.endClients();
    const outcome = await this.#surroundings.requests.deleteBranch(branch.name);
    // It was deleted, and the answer was lost.
    if (outcome.kind === 'refused' && outcome.code === 'BRANCH_NOT_FOUND') return this.#forget(branch);
    if (!this.#isRefused(`delete ${branch.name}`, outcome)) this.#forget(branch);
  }

  #forget(branch: BranchUnderLoad): void {
    this.branches.splice(this.branches.indexOf(branch), 1);
  }

  async #move(branch: BranchUnderLoad, random: SeededRandom): Promise<void> {
    const { requests } = this.#surroundings;
    const what = random.pick(['suspend', 'restart'] as const);
    // While nobody answers there is nothing to move.
    const endpoint = await requests.findPrimary(branch.name).catch(() => undefined);
    if (endpoint === undefined) return;
    const outcome = await requests.moveEndpoint(endpoint.id, what);
    if (outcome.kind === 'refused')
      this.#surroundings.onEvent(`${what} ${branch.name}: ${outcome.code} ${outcome.message}`);
  }

  /** Makes a server for a branch that has none, and looks at it. */
  async #serve(branch: BranchUnderLoad): Promise<ReadonlySet<number>> {
    const { requests, onEvent } = this.#surroundings;
    for (;;) {
      const outcome = await requests.createEndpoint(branch.name);
      if (outcome.kind === 'done') break;
      onEvent(`a server for ${branch.name}: ${outcome.code} ${outcome.message}`);
      // Where it is made and was not started, whoever comes to it asks for that.
      // Where nobody answers it is asked for again.
      const primary = await requests.findPrimary(branch.name).catch(() => undefined);
      if (primary !== undefined) break;
      await delay(SERVE_AGAIN_MS, undefined, { signal: this.#patience });
    }
    return await this.#look(branch);
  }

  async #look(branch: BranchUnderLoad): Promise<ReadonlySet<number>> {
    const { ids, lost, wrong } = await lookAt(branch, this.#ledger, this.#patience);
    this.#lost(branch.name, lost);
    for (const each of wrong) this.#findings.wrong.push(`${branch.name}: ${each}`);
    return ids;
  }

  /** Looks at all that there is. */
  async lookAtAll(): Promise<void> {
    for (const branch of this.branches) await this.#look(branch);
  }

  #newBranch(name: string, parent: BranchUnderLoad | undefined, expected: Expectation): BranchUnderLoad {
    const branch = new BranchUnderLoad(name, parent, this.#ledger.historyFrom(expected), this.#surroundings);
    this.branches.push(branch);
    return branch;
  }

  #lost(where: string, ids: readonly number[]): void {
    if (ids.length === 0) return;
    this.#findings.lost += ids.length;
    this.#findings.wrong.push(`lost: ${ids.length} of ${where}: ${ids.slice(0, 10).join(', ')}`);
  }

  /** Nothing that is asked for here may be refused for good. */
  #isRefused(text: string, outcome: Outcome): boolean {
    if (outcome.kind === 'done') return false;
    this.#findings.stuck.push(`${text}: refused, ${outcome.code} ${outcome.message}`);
    return true;
  }
}

interface PickedPoint {
  readonly point: HistoryPoint | undefined;
  readonly body: object;
}

/** Of the request: at the head, or at an LSN or a time that somebody was at. */
function pickPoint(points: readonly HistoryPoint[], random: SeededRandom, mayBeHead = true): PickedPoint {
  if (points.length === 0 || (mayBeHead && random.chance(0.5))) return { point: undefined, body: {} };
  const point = random.pick(points);
  const body = random.chance(0.5) ? { lsn: point.lsn } : { time: new Date(point.timeMs).toISOString() };
  return { point, body };
}
