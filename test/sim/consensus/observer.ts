import type { Lsn } from '../../../src/base/lsn.ts';
import { AckDurability } from '../checkers/ack-durability.ts';
import { CommittedLog } from '../checkers/committed-log.ts';
import { ConfigurationSafety } from '../checkers/configuration-safety.ts';
import { ElectionSafety, VoteOnce } from '../checkers/elections.ts';
import { checkLogMatching, checkLogOrder, checkLogSafety } from '../checkers/log-safety.ts';
import { Monotony } from '../checkers/monotony.ts';
import type { AcceptorSnapshot } from '../checkers/snapshots.ts';
import type { ModelAcceptor } from './model-acceptor.ts';
import { INITIAL_LSN } from './model-timeline.ts';

/** All checkers of one walk. */
export class Observer {
  readonly committedLog = new CommittedLog(INITIAL_LSN);
  readonly elections = new ElectionSafety();
  readonly votes = new VoteOnce();
  readonly monotony = new Monotony();
  readonly acks = new AckDurability();
  readonly configurations = new ConfigurationSafety();

  /** Looks at those that have changed since the last time. */
  observe(acceptors: readonly ModelAcceptor[]): void {
    for (const model of acceptors) {
      if (!model.isChanged || model.acceptor === undefined) continue;
      model.isChanged = false;
      const snapshot = model.snapshot();
      checkLogOrder(snapshot);
      this.monotony.observed(snapshot);
      this.committedLog.acceptor(snapshot);
      this.acks.found(model.id, snapshot.flushLsn);
      this.configurations.observed(`safekeeper ${model.id}`, model.acceptor.membership);
    }
  }

  /** A safekeeper is up again. */
  restarted(model: ModelAcceptor): void {
    const snapshot = model.snapshot();
    this.monotony.restarted({ ...snapshot, commitLsn: snapshot.persistedCommitLsn });
    this.acks.found(model.id, snapshot.flushLsn);
  }

  /** Compares the logs of all that are up, in full. */
  compare(acceptors: readonly ModelAcceptor[]): void {
    const snapshots: AcceptorSnapshot[] = acceptors
      .filter(({ acceptor }) => acceptor !== undefined)
      .map((model) => model.snapshot());
    checkLogSafety(snapshots);
    checkLogMatching(snapshots);
  }

  truncating(nodeId: number, term: number, lsn: Lsn): void {
    this.acks.truncating(nodeId, term, lsn);
  }
}
