import { formatLsn, type Lsn } from '../../../src/base/lsn.ts';
import { SafetyViolation } from './safety-violation.ts';

interface Report {
  /** Term of the last WAL that it has. */
  readonly logTerm: number;
  readonly flushLsn: Lsn;
}

/**
 * Ack durability: what an acceptor has called durable is there after any crash, unless a proposer of a later term has
 * cut it since.
 */
export class AckDurability {
  readonly #reports = new Map<number, Report>();

  /**
   * The acceptor has said so, in an answer to WAL or in a vote.
   * @param logTerm term of the last WAL that it has
   */
  reported(nodeId: number, logTerm: number, flushLsn: Lsn): void {
    const before = this.#reports.get(nodeId);
    if (before === undefined || flushLsn > before.flushLsn || logTerm > before.logTerm) {
      this.#reports.set(nodeId, { logTerm, flushLsn: max(flushLsn, before?.flushLsn) });
    }
  }

  /** The acceptor begins to cut its log at `lsn`, because the winner of `term` says so. */
  truncating(nodeId: number, term: number, lsn: Lsn): void {
    const report = this.#reports.get(nodeId);
    if (report === undefined || report.flushLsn <= lsn) return;
    if (report.logTerm >= term) {
      throw new SafetyViolation(
        'ack-durability',
        `safekeeper ${nodeId} reported ${formatLsn(report.flushLsn)} of term ${report.logTerm}, and cuts at ${formatLsn(lsn)} for term ${term}`,
      );
    }
    this.#reports.set(nodeId, { logTerm: report.logTerm, flushLsn: lsn });
  }

  /** The log as it is found after a crash, or while the acceptor runs. */
  found(nodeId: number, flushLsn: Lsn): void {
    const report = this.#reports.get(nodeId);
    if (report === undefined || report.flushLsn <= flushLsn) return;
    throw new SafetyViolation(
      'ack-durability',
      `safekeeper ${nodeId} reported ${formatLsn(report.flushLsn)} and has ${formatLsn(flushLsn)}`,
    );
  }
}

const max = (left: Lsn, right: Lsn | undefined): Lsn => (right !== undefined && right > left ? right : left);
