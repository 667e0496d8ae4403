/** One transfer that a client has begun. What became of it the client may never learn. */
export interface Transfer {
  readonly id: number;
  /** When, as the ledger counts. */
  readonly begun: number;
  /** When the server said that it is committed; undefined: it has not said so. */
  acknowledged: number | undefined;
}

/** A place in a history that can be gone back to. */
export interface HistoryPoint {
  readonly lsn: string;
  readonly timeMs: number;
  /** What was acknowledged by then is there, and what was begun later is not. */
  readonly acknowledgedBy: number;
  readonly begunBy: number;
}

/** What has to be there, and what may be. */
export interface Expectation {
  readonly must: ReadonlySet<number>;
  readonly may: ReadonlySet<number>;
}

/** What one timeline has to hold: what it began with, and what clients did on it. */
export class History {
  readonly points: HistoryPoint[] = [];
  readonly #ledger: Ledger;
  readonly #inheritedMust: Set<number>;
  readonly #inheritedMay: Set<number>;
  readonly #own: Transfer[] = [];
  /** When a request came that gave the branch another history: what is acknowledged later is on that one, or on this. */
  #closed = Number.POSITIVE_INFINITY;

  constructor(ledger: Ledger, inherited: Expectation) {
    this.#ledger = ledger;
    this.#inheritedMust = new Set(inherited.must);
    this.#inheritedMay = new Set(inherited.may);
  }

  begin(): Transfer {
    const { id, now } = this.#ledger.next();
    const transfer: Transfer = { id, begun: now, acknowledged: undefined };
    this.#own.push(transfer);
    return transfer;
  }

  acknowledge(transfer: Transfer): void {
    transfer.acknowledged = this.#ledger.next().now;
    this.#ledger.acknowledged++;
  }

  /**
   * They were seen, and something that was committed later was acknowledged: they are as good as acknowledged, whether or not
   * their clients were told.
   */
  confirm(ids: ReadonlySet<number>): void {
    for (const id of ids) if (this.#inheritedMay.has(id)) this.#inheritedMust.add(id);
    for (const transfer of this.#own)
      if (ids.has(transfer.id)) transfer.acknowledged ??= this.#ledger.next().now;
  }

  /** As it is to be seen by whoever looks now. */
  expectation(now: number): Expectation {
    return this.expectationAt({ acknowledgedBy: now, begunBy: now });
  }

  /** As it is to be seen where it was left. */
  expectationAt({ acknowledgedBy, begunBy }: Pick<HistoryPoint, 'acknowledgedBy' | 'begunBy'>): Expectation {
    const must = new Set(this.#inheritedMust);
    const may = new Set(this.#inheritedMay);
    const by = Math.min(acknowledgedBy, this.#closed);
    for (const { id, begun, acknowledged } of this.#own) {
      if (acknowledged !== undefined && acknowledged <= by) must.add(id);
      if (begun <= begunBy) may.add(id);
    }
    return { must, may };
  }

  /** The branch is given another history from now on. */
  close(): void {
    this.#closed = this.#ledger.next().now;
  }

  /** It was not, after all. */
  reopen(): void {
    this.#closed = Number.POSITIVE_INFINITY;
  }

  /** What was not acknowledged when it was closed, thus is here, or in what came in its place, or nowhere. */
  get undecided(): Transfer[] {
    return this.#own.filter(({ acknowledged }) => acknowledged === undefined || acknowledged > this.#closed);
  }
}

/** What clients have begun, and what they were told, in one order. */
export class Ledger {
  /** Of all histories. */
  acknowledged = 0;
  #now = 0;

  get now(): number {
    return this.#now;
  }

  /** Something happens. The id is like no other. */
  next(): { readonly id: number; readonly now: number } {
    this.#now++;
    return { id: this.#now, now: this.#now };
  }

  /** Of a database in which nothing was transferred yet. */
  emptyHistory(): History {
    return new History(this, { must: new Set(), may: new Set() });
  }

  /**
   * Of a branch.
   * @param undecided may be on it all the same
   */
  historyFrom({ must, may }: Expectation, undecided: readonly Transfer[] = []): History {
    return new History(this, { must, may: new Set([...may, ...undecided.map(({ id }) => id)]) });
  }
}

/** What a database shows in one snapshot. */
export interface BankState {
  readonly ids: ReadonlySet<number>;
  /** Of all accounts together. */
  readonly sum: number;
  readonly accounts: number;
  /** Accounts whose balance does not follow from the transfers. */
  readonly unbalanced: readonly string[];
}

export interface BankFindings {
  readonly lost: readonly number[];
  readonly wrong: readonly string[];
}

const SHOWN = 10;

/** Compares what is there with what has to be, and may be. */
export function judge(
  state: BankState,
  { must, may }: Expectation,
  expected: { readonly sum: number; readonly accounts: number },
): BankFindings {
  const lost = [...must].filter((id) => !state.ids.has(id));
  const wrong: string[] = [];
  const strange = [...state.ids].filter((id) => !may.has(id));
  if (strange.length > 0) {
    wrong.push(`${strange.length} transfers that cannot be there: ${strange.slice(0, SHOWN).join(', ')}`);
  }
  if (state.sum !== expected.sum) wrong.push(`a sum of ${state.sum} in the place of ${expected.sum}`);
  if (state.accounts !== expected.accounts)
    wrong.push(`${state.accounts} accounts in the place of ${expected.accounts}`);
  if (state.unbalanced.length > 0) {
    const some = state.unbalanced.slice(0, SHOWN).join('; ');
    wrong.push(`${state.unbalanced.length} balances do not follow from the transfers: ${some}`);
  }
  return { lost, wrong };
}
