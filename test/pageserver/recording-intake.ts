import { AssertionError, CorruptionError, VarveError } from '../../src/base/errors.ts';
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import type { WalIntake } from '../../src/pageserver/ingest/wal-intake.ts';
import type { MadeWal } from '../support/safekeeper-wal.ts';

/**
 * Takes WAL that must be this WAL. As the real one, it goes back to the end of the last record that is good when what
 * comes is not.
 */
export class RecordingIntake implements WalIntake {
  position: Lsn;
  positions: WalIntake['positions'];
  takes = 0;
  refusals = 0;
  longestTakeBytes = 0;
  /** `take` waits for it. */
  hold: Promise<void> | undefined;
  isClosed = false;
  /** `take` throws it. */
  failure: VarveError | undefined;
  /** That is the timeline's own. */
  isStopped = false;
  /** Called when something was taken. */
  onTaken: () => void = () => undefined;
  readonly #wal: MadeWal;
  #isTaking = false;

  constructor(wal: MadeWal, position: Lsn = wal.startLsn) {
    this.#wal = wal;
    this.position = position;
    this.positions = {
      lastRecordLsn: position,
      diskConsistentLsn: position,
      remoteConsistentLsn: wal.startLsn,
    };
  }

  get isTaking(): boolean {
    return this.#isTaking;
  }

  /** Everything taken so far is on the disk and in the bucket. */
  store(): void {
    const { lastRecordLsn } = this.positions;
    this.positions = { lastRecordLsn, diskConsistentLsn: lastRecordLsn, remoteConsistentLsn: lastRecordLsn };
  }

  async take(bytes: Uint8Array): Promise<void> {
    if (this.#isTaking) throw new AssertionError('two sources at once');
    if (bytes.length === 0) throw new AssertionError('nothing is brought');
    this.#isTaking = true;
    this.takes++;
    this.longestTakeBytes = Math.max(this.longestTakeBytes, bytes.length);
    // Whether they change while they are taken is seen below.
    await this.hold;
    this.#isTaking = false;
    if (this.isClosed) throw new VarveError('cancelled', 'CLOSING', 'the timeline is closing');
    if (this.failure !== undefined) throw this.failure;
    const from = this.position - this.#wal.startLsn;
    const expected = this.#wal.bytes.subarray(from, from + bytes.length);
    let good = 0;
    while (good < expected.length && expected[good] === bytes[good]) good++;
    this.position = toLsn(this.position + good);
    const lastRecordLsn =
      this.#wal.ends.findLast((lsn) => lsn <= this.position) ?? this.positions.lastRecordLsn;
    this.positions = { ...this.positions, lastRecordLsn };
    if (good < bytes.length) {
      const lsn = this.position;
      this.position = lastRecordLsn;
      this.refusals++;
      throw new CorruptionError('BAD_WAL', 'this is not the WAL that was written', { lsn });
    }
    this.onTaken();
  }
}
