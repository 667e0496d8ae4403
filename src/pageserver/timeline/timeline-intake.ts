import { AssertionError, CorruptionError, VarveError } from '../../base/errors.ts';
import { formatLsn, INVALID_LSN, type Lsn, readLsn } from '../../base/lsn.ts';
import { DecodedRecord } from '../../postgres/wal/decoded-record.ts';
import { RECORD_PREVIOUS } from '../../postgres/wal/record-header.ts';
import { WalReader } from '../../postgres/wal/wal-reader.ts';
import { DATA_START, giveWorkspace, takeWorkspace } from '../../postgres/wal/workspace.ts';
import type { Missing } from '../ingest/missing.ts';
import type { WalIngest } from '../ingest/wal-ingest.ts';
import type { IntakePositions, WalIntake } from '../ingest/wal-intake.ts';
import { lastLsnBeside } from '../layers/beside-wal.ts';
import { type RecordPositions, recordPositionsKey, stretchOf } from '../layers/record-positions.ts';
import { withLsn } from '../read/place-error.ts';
import type { TimelineReader } from '../read/timeline-reader.ts';
import {
  copyDatabase,
  dropDatabase,
  loadIngest,
  loadRecordPositions,
  provideRelationSizes,
} from './head-loading.ts';
import { LayerSink } from './layer-sink.ts';
import type { Timeline } from './timeline.ts';
import { waitForLsn } from './timeline-reads.ts';

/** PostgreSQL's timeline, not ours: a branch of ours goes on with the one of its ancestor. */
const POSTGRES_TIMELINE = 1;
/** Images that one record brings are brought away when they are so many bytes. */
const PENDING_BYTES_MAX = 1024 * 1024;

/**
 * The way in for a timeline's WAL: cuts it into records, has ingest say what values they bring, and puts these into the
 * open layer. Records become visible batch by batch.
 *
 * WAL that is damaged ends at the damage: what was before can be read, and `position` is where to go on, maybe from another
 * source. A record that is whole, but cannot be taken in and names no page to be poisoned, comes from every source alike:
 * there the timeline stops (`Timeline.ingestStop`), and so it does where stored data is damaged that ingest has to know.
 * Any other failure is for good, too.
 */
export class TimelineIntake implements WalIntake {
  readonly #timeline: Timeline;
  readonly #storage: TimelineReader;
  #wal: WalReader;
  readonly #record: DecodedRecord;
  readonly #ingest: WalIngest;
  readonly #sink = new LayerSink();
  readonly #recordPositions: RecordPositions;
  #hasNewPositions = false;
  /** Of the last record that was taken in. */
  #previousStart: Lsn;
  #previousEnd: Lsn;
  #isFirstRecord = true;
  /** Where the batch begins in the open layer. */
  #batchPosition = 0;
  /** From the turn that the timeline gives to when it is given back. */
  #isInBatch = false;
  #isTaking = false;
  #failure: unknown;

  private constructor(
    timeline: Timeline,
    storage: TimelineReader,
    ingest: WalIngest,
    recordPositions: RecordPositions,
  ) {
    this.#timeline = timeline;
    this.#storage = storage;
    this.#ingest = ingest;
    this.#recordPositions = recordPositions;
    this.#previousStart = timeline.previousRecordLsn;
    this.#previousEnd = timeline.lastRecordLsn;
    this.#record = new DecodedRecord(timeline.version);
    this.#wal = openWal(timeline);
  }

  /**
   * Reads what ingest has to know of the timeline as of its last record. What had stopped ingest before is forgotten.
   * @throws CorruptionError where what is stored is damaged; ‘cancelled’ when the timeline ends
   */
  static async start(timeline: Timeline): Promise<TimelineIntake> {
    const storage = timeline.readerForIngest();
    const lsn = timeline.lastRecordLsn;
    // An ancestor that was restarted may have to catch up first.
    await waitForLsn(timeline, lsn, timeline.settings.lsnWaitMs, timeline.signal);
    const ingest = await loadIngest(timeline.version, timeline.stems, storage, lsn);
    const recordPositions = await loadRecordPositions(timeline, lsn);
    timeline.resumeIngest();
    return new TimelineIntake(timeline, storage, ingest, recordPositions);
  }

  get position(): Lsn {
    return this.#wal.position as Lsn;
  }

  get positions(): IntakePositions {
    return this.#timeline.positions;
  }

  get isStopped(): boolean {
    return this.#timeline.ingestStop !== undefined;
  }

  async take(bytes: Uint8Array): Promise<void> {
    if (this.#isTaking) throw new AssertionError('WAL was given while earlier WAL was still being taken in');
    if (this.#failure !== undefined) throw this.#failure;
    this.#isTaking = true;
    // Between two calls nothing of it is needed, and most timelines are between two calls.
    const workspace = takeWorkspace();
    this.#wal.workspace = workspace;
    try {
      using _pass = this.#timeline.enter();
      this.#wal.feed(bytes);
      while (this.#wal.next()) await this.#takeBatch();
      this.#refuseEnd();
    } catch (error) {
      if (!(error instanceof CorruptionError)) this.#failure = error;
      else if (this.#failure === undefined) this.#beginAnew();
      throw error;
    } finally {
      giveWorkspace(workspace);
      this.#isTaking = false;
    }
  }

  /** Nothing is taken any more after this error, which is to be thrown. */
  #stop(error: unknown): unknown {
    const stop = toCorruption(error, this.#wal.startLsn);
    // A bug is not the record's fault, and the end of the timeline is nobody's.
    if (stop === undefined || this.#failure !== undefined) return error;
    this.#failure = stop;
    this.#timeline.stopIngest(stop);
    return stop;
  }

  #beginAnew(): void {
    this.#wal = openWal(this.#timeline);
    this.#isFirstRecord = true;
  }

  /** Zeros where WAL should go on are no WAL. */
  #refuseEnd(): void {
    const { end } = this.#wal;
    if (end === undefined) return;
    throw new CorruptionError('WAL_DOES_NOT_CONTINUE', `no WAL is here: ${end.reason}`, { lsn: end.lsn });
  }

  /** From the first record of a batch, at which the reader is, to its last, or to one that cannot be taken in. */
  async #takeBatch(): Promise<void> {
    try {
      await this.#fillBatch();
    } catch (error) {
      if (this.#isInBatch) this.#timeline.failBatch(error);
      this.#isInBatch = false;
      throw error;
    }
  }

  async #fillBatch(): Promise<void> {
    await this.#appendBatch();
    try {
      await this.#takeRecords();
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      // The records before it are as good as any. Who brings the WAL from there on once more comes to this one again.
      await this.#publish();
      throw error;
    }
    await this.#publish();
  }

  async #takeRecords(): Promise<void> {
    const wal = this.#wal;
    for (;;) {
      const slow = this.#takeRecord();
      if (slow !== undefined) await slow;
      if (wal.isLastOfBatch) return;
      if (!wal.next()) throw new AssertionError('a batch ended before its last record');
    }
  }

  /** Brings the bytes of the whole batch into the open layer. */
  async #appendBatch(): Promise<void> {
    const { workspace, batchEndOffset } = this.#wal;
    // A segment switch ends with its segment.
    const endLsn = (this.position + this.#timeline.walSegmentBytes) as Lsn;
    const layer = await this.#timeline.beginBatch(endLsn, batchEndOffset - DATA_START);
    this.#isInBatch = true;
    this.#refuseOvertaken();
    this.#sink.enter(layer);
    this.#batchPosition = await layer.append(workspace.bytes, DATA_START, batchEndOffset);
    this.#sink.begin();
  }

  /** What ingest knows is of before what another intake has taken in meanwhile. */
  #refuseOvertaken(): void {
    const { lastRecordLsn } = this.#timeline;
    if (lastRecordLsn === this.#previousEnd) return;
    this.#isInBatch = false;
    this.#timeline.endBatch();
    throw new VarveError(
      'conflict',
      'WAL_COMES_FROM_ELSEWHERE',
      'the timeline gets its WAL from somebody else',
      {
        lsn: lastRecordLsn,
      },
    );
  }

  /** Awaits nothing but for the few records for which something has to be looked up. */
  #takeRecord(): Promise<void> | undefined {
    const wal = this.#wal;
    const record = this.#record;
    if (this.#isFirstRecord) this.#checkContinues();
    try {
      wal.decode(record);
    } catch (error) {
      throw this.#stop(error);
    }
    const position = this.#batchPosition + wal.recordOffset - DATA_START;
    this.#sink.setRecord(wal.endLsn, position, wal.recordLength);
    const missing = this.#ingestOrPoison();
    if (missing !== undefined) return this.#takeSlowly(missing);
    this.#finishRecord();
    return undefined;
  }

  /** Looks at the record before it is decoded: one of another history says nothing about this timeline. */
  #checkContinues(): void {
    const { workspace, recordOffset, startLsn } = this.#wal;
    const previousLsn = readLsn(workspace.view, recordOffset + RECORD_PREVIOUS);
    // Of an imported cluster nobody knows the record before the first.
    this.#isFirstRecord = !(previousLsn === this.#previousStart || this.#previousStart === INVALID_LSN);
    if (!this.#isFirstRecord) return;
    throw new CorruptionError(
      'WAL_DOES_NOT_CONTINUE',
      `the record names ${formatLsn(previousLsn)} as the one before it, which was at ${formatLsn(this.#previousStart)}`,
      { lsn: startLsn },
    );
  }

  #ingestOrPoison(): Missing | undefined {
    try {
      return this.#ingest.ingest(this.#record, this.#sink);
    } catch (error) {
      return this.#poison(error);
    }
  }

  #poison(error: unknown): Missing | undefined {
    try {
      const missing = this.#ingest.poison(this.#record, error, this.#sink);
      if (missing === undefined) this.#timeline.notePoison(this.#record.startLsn as Lsn, error);
      return missing;
    } catch (refusal) {
      throw this.#stop(refusal);
    }
  }

  async #takeSlowly(first: Missing): Promise<void> {
    try {
      for (let missing: Missing | undefined = first; missing !== undefined; ) {
        if (missing.kind === 'database-copy' || missing.kind === 'database-drop') {
          await this.#changeDatabase(missing);
          break;
        }
        await this.#provide(missing);
        missing = this.#ingestOrPoison();
      }
    } catch (error) {
      // What is stored is damaged: another source of WAL would not help.
      throw this.#stop(error);
    }
    this.#finishRecord();
  }

  async #provide(missing: Exclude<Missing, { kind: 'database-copy' | 'database-drop' }>): Promise<void> {
    const lsn = this.#timeline.lastRecordLsn;
    switch (missing.kind) {
      case 'relation-sizes':
        // What earlier records of the batch have changed ingest knows already.
        return provideRelationSizes(this.#ingest, missing, this.#storage, lsn);
      case 'auxiliary-files':
        await this.#publishBefore();
        this.#ingest.provideAuxiliaryFiles(
          await this.#storage.readValue(missing.key, lastLsnBeside(this.#timeline.lastRecordLsn)),
        );
        return undefined;
      case 'zero-pages':
        while (!this.#ingest.fillZeroPages(missing.pages, this.#sink)) await this.#timeline.yieldToOthers();
        return undefined;
    }
  }

  async #changeDatabase(
    operation: Extract<Missing, { kind: 'database-copy' | 'database-drop' }>,
  ): Promise<void> {
    await this.#publishBefore();
    const lsn = this.#timeline.lastRecordLsn;
    if (operation.kind === 'database-drop') {
      await dropDatabase(this.#ingest, operation, this.#storage, lsn, this.#sink);
    } else {
      await copyDatabase(this.#ingest, operation, this.#storage, lsn, this.#sink, async () => {
        if (this.#sink.pendingBytes > PENDING_BYTES_MAX) await this.#sink.flush();
      });
    }
    this.#ingest.finishDatabaseOperation(this.#record, this.#sink);
  }

  #finishRecord(): void {
    const { startLsn, endLsn } = this.#wal;
    const stretch = stretchOf(startLsn);
    if (stretch !== this.#recordPositions.stretch) {
      this.#putRecordPositions();
      this.#recordPositions.begin(stretch);
    }
    this.#recordPositions.add(startLsn, endLsn);
    this.#hasNewPositions = true;
    this.#previousStart = startLsn as Lsn;
    this.#previousEnd = endLsn as Lsn;
  }

  #putRecordPositions(): void {
    if (!this.#hasNewPositions) return;
    this.#hasNewPositions = false;
    const { stretch, bytes, length } = this.#recordPositions;
    const key = recordPositionsKey(stretch);
    const stem = this.#timeline.stems.intern(key.kind, key.field2, key.field3, key.field4, key.field5);
    this.#sink.putImage(stem, key.index, bytes.subarray(0, length));
  }

  /** Makes the records before the one under work visible: it has to be looked up what they left. */
  async #publishBefore(): Promise<void> {
    const { endLsn, recordOffset, recordLength } = this.#wal;
    // With where they are: a branch may begin behind any record that can be read.
    this.#sink.setRecord(this.#previousEnd, 0, 0);
    this.#putRecordPositions();
    this.#sink.setRecord(endLsn, this.#batchPosition + recordOffset - DATA_START, recordLength);
    await this.#sink.flush();
    this.#timeline.publish(this.#previousEnd, this.#previousStart);
  }

  async #publish(): Promise<void> {
    this.#sink.setRecord(this.#previousEnd, 0, 0);
    this.#putRecordPositions();
    await this.#sink.flush();
    this.#timeline.publish(this.#previousEnd, this.#previousStart);
    this.#isInBatch = false;
    this.#timeline.endBatch();
  }
}

/** undefined: it says nothing about a record or stored data. */
function toCorruption(error: unknown, lsn: number): CorruptionError | undefined {
  if (error instanceof CorruptionError) return withLsn(error, lsn) as CorruptionError;
  if (!(error instanceof RangeError)) return undefined;
  return new CorruptionError(
    'BAD_WAL_RECORD',
    `the record cannot be taken in: ${error.message}`,
    { lsn },
    error,
  );
}

/** Reads WAL from the end of the timeline's last record on. It has a workspace of its own while it is fed only. */
function openWal(timeline: Timeline): WalReader {
  const workspace = takeWorkspace();
  giveWorkspace(workspace);
  return new WalReader({
    workspace,
    version: timeline.version,
    segmentBytes: timeline.walSegmentBytes,
    startLsn: timeline.lastRecordLsn,
    systemIdentifier: timeline.systemIdentifier,
    timelineId: POSTGRES_TIMELINE,
    file: `WAL of timeline ${timeline.timelineId}`,
  });
}
