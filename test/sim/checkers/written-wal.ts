import { formatLsn, type Lsn } from '../../../src/base/lsn.ts';
import { highestCommonPoint, historyUpTo, type TermHistory } from '../../../src/contracts/term-history.ts';
import type { ServerWal } from '../cluster/server-wal.ts';
import { SafetyViolation } from './safety-violation.ts';
import type { WalPiece } from './snapshots.ts';

interface Won {
  readonly term: number;
  readonly startLsn: Lsn;
  readonly termHistory: TermHistory;
  readonly wal: ServerWal;
}

/**
 * Who wrote what: by the history of a log, each of its bytes was written by the winner of one term, and must be what
 * that one's server wrote.
 */
export class WrittenWal {
  readonly #won = new Map<number, Won>();

  /** @param wal what the winner's server writes, and may have written already behind `startLsn` */
  elected(termHistory: TermHistory, wal: ServerWal): void {
    const { term, lsn } = termHistory.at(-1) as { term: number; lsn: Lsn };
    this.#won.set(term, { term, startLsn: lsn, termHistory, wal });
  }

  /** Start of the last record of a log that ends at `endLsn`; undefined where it has none. */
  lastRecordStart(history: TermHistory, endLsn: Lsn): number | undefined {
    for (let index = history.length - 1; index >= 0; index--) {
      const entry = history[index] as { term: number; lsn: Lsn };
      if (entry.lsn >= endLsn) continue;
      return this.#won.get(entry.term)?.wal.recordStart(endLsn);
    }
    return undefined;
  }

  /** @throws SafetyViolation ‘written-wal’ where the log of a safekeeper, with this history, has other bytes */
  check(who: string, history: TermHistory, { beginLsn, bytes }: WalPiece): void {
    const pieceEnd = beginLsn + bytes.length;
    for (let index = 0; index < history.length; index++) {
      const { term, lsn } = history[index] as { term: number; lsn: Lsn };
      const from = Math.max(lsn, beginLsn);
      const to = Math.min(history[index + 1]?.lsn ?? pieceEnd, pieceEnd);
      if (from >= to) continue;
      const wal = this.#won.get(term)?.wal;
      if (wal === undefined || wal.startLsn > from || wal.endLsn < to) {
        throw new SafetyViolation(
          'written-wal',
          `${who} has WAL of term ${term} from ${formatLsn(from)} to ${formatLsn(to)}, which nobody wrote`,
        );
      }
      const found = Buffer.from(bytes.buffer, bytes.byteOffset + from - beginLsn, to - from);
      if (found.equals(wal.bytes(from, to))) continue;
      const written = wal.bytes(from, to);
      const at = found.findIndex((byte, offset) => byte !== written[offset]);
      throw new SafetyViolation(
        'written-wal',
        `${who} has other bytes at ${formatLsn(from + at)} than term ${term} wrote`,
      );
    }
  }

  /**
   * Where winners of later terms, as far as a safekeeper has followed them, may have told it to cut a log, ascending
   * by term: it was at `endLsn` with this history.
   */
  *cuts(history: TermHistory, endLsn: Lsn, uptoTerm: number): Generator<{ term: number; lsn: Lsn }> {
    const own = historyUpTo(history, endLsn);
    const lastTerm = own.at(-1)?.term ?? 0;
    for (const { term, termHistory } of [...this.#won.values()].sort((a, b) => a.term - b.term)) {
      if (term <= lastTerm || term > uptoTerm) continue;
      const common = highestCommonPoint(termHistory, own, endLsn);
      if (common !== undefined && common.lsn < endLsn) yield { term, lsn: common.lsn };
    }
  }
}
