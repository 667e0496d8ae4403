/** One transaction that the server has acknowledged as committed, and replicated. */
export interface LedgerEntry {
  readonly client: number;
  readonly sequence: number;
  readonly xid: number;
}

/** A proposer was elected: where its WAL goes on, and how much had been acknowledged before it was started. */
export interface LedgerElection {
  readonly acknowledged: number;
  readonly term: number;
  readonly startLsn: number;
}

/** What nobody may lose, in the order in which it was acknowledged. */
export class Ledger {
  readonly entries: LedgerEntry[] = [];
  readonly elections: LedgerElection[] = [];
  /** Commits whose outcome no client has learned: the connection was lost, or the wait was given up. */
  unknown = 0;
  /** Told of each election. */
  onElection: ((election: LedgerElection) => void) | undefined;

  acknowledge(entry: LedgerEntry): void {
    this.entries.push(entry);
  }

  recordElection(election: LedgerElection): void {
    this.elections.push(election);
    this.onElection?.(election);
  }

  /**
   * The entries that an election has lost: they were acknowledged before the proposer was even started, and their
   * commit records end beyond where it lets a compute start.
   * @param commitEnds where the commit record of each xid ends
   */
  *lostByElections(commitEnds: ReadonlyMap<number, number>): Generator<[LedgerEntry, LedgerElection]> {
    for (const election of this.elections) {
      for (const entry of this.entries.slice(0, election.acknowledged)) {
        const endLsn = commitEnds.get(entry.xid);
        if (endLsn !== undefined && endLsn > election.startLsn) yield [entry, election];
      }
    }
  }
}
