import { join } from 'node:path';
import { CorruptionError, VarveError } from '../../../base/errors.ts';
import { formatLsn, type Lsn, toLsn } from '../../../base/lsn.ts';
import { throwIfCancelled } from '../../../io/cancelled.ts';
import type { Files, ReadableFile } from '../../../io/files.ts';
import type { PostgresVersion } from '../../../postgres/versions/version.ts';
import { isSegmentName, parseSegmentName, segmentNumber } from '../../../postgres/wal/segment-name.ts';
import { WalReader } from '../../../postgres/wal/wal-reader.ts';
import type { WalIntake } from '../wal-intake.ts';

const PIECE_BYTES = 1024 * 1024;
const PARTIAL_SUFFIX = '.partial';

export interface WalFileSourceOptions {
  readonly files: Files;
  /** Such as `pg_wal`, or where WAL was archived. */
  readonly directory: string;
  readonly version: PostgresVersion;
  readonly systemIdentifier: bigint;
  readonly segmentBytes: number;
  readonly intake: WalIntake;
  /** Bring WAL up to exactly here, which must be there. Without it: up to the end of the last whole record. */
  readonly endLsn?: Lsn;
  readonly signal: AbortSignal;
}

export interface WalFileEnd {
  /** All below has been taken. */
  readonly lsn: Lsn;
  /** Why it ends there. */
  readonly reason: string;
}

/**
 * Brings a timeline the WAL that lies in segment files, from where its intake is on. What the files hold after the last
 * whole record (zeros, or what is left from an earlier use of a file) is no WAL, and never reaches the intake: records
 * are read here first.
 *
 * @throws VarveError `not-found` / NO_WAL_SEGMENTS where no file holds the intake's position; CorruptionError
 * (WAL_ENDS_EARLY) where the files do not reach `endLsn`; what the intake and the files door raise; `cancelled`
 */
export async function feedFromFiles(options: WalFileSourceOptions): Promise<WalFileEnd> {
  const { intake, endLsn } = options;
  if (endLsn !== undefined && endLsn <= intake.position) {
    return { lsn: intake.position, reason: 'the timeline is there already' };
  }
  await using source = await WalFileSource.open(options);
  const reason = await source.run();
  if (endLsn !== undefined && intake.position < endLsn) {
    throw new CorruptionError(
      'WAL_ENDS_EARLY',
      `the WAL in the files ends before ${formatLsn(endLsn)}: ${reason}`,
      { file: options.directory, lsn: intake.position },
    );
  }
  return { lsn: intake.position, reason };
}

class WalFileSource implements AsyncDisposable {
  readonly #options: WalFileSourceOptions;
  readonly #names: ReadonlyMap<number, string>;
  readonly #reader: WalReader;
  readonly #piece = new Uint8Array(PIECE_BYTES);
  /** LSN of the piece's first byte, and how much it holds. */
  #pieceLsn = 0;
  #pieceBytes = 0;
  #open: { readonly segment: number; readonly file: ReadableFile } | undefined;

  private constructor(options: WalFileSourceOptions, names: ReadonlyMap<number, string>) {
    const { version, segmentBytes, systemIdentifier, intake } = options;
    const { lastRecordLsn } = intake.positions;
    this.#options = options;
    this.#names = names;
    // The intake may be in the middle of a record, which is whole only if it is so from its beginning.
    const isBefore = lastRecordLsn < intake.position && names.has(segmentNumber(lastRecordLsn, segmentBytes));
    const startLsn = isBefore ? lastRecordLsn : intake.position;
    this.#reader = new WalReader({
      version,
      segmentBytes,
      systemIdentifier,
      startLsn,
      // A server that was started from storage has nothing before its first record, not even on the page of it.
      mode: startLsn === lastRecordLsn ? 'exact' : 'search',
    });
  }

  static async open(options: WalFileSourceOptions): Promise<WalFileSource> {
    const { files, directory, segmentBytes, intake } = options;
    const names = findSegments(await files.list(directory), segmentBytes);
    if (!names.has(segmentNumber(intake.position, segmentBytes))) {
      throw new VarveError('not-found', 'NO_WAL_SEGMENTS', 'the directory holds no WAL of this place', {
        file: directory,
        lsn: intake.position,
      });
    }
    return new WalFileSource(options, names);
  }

  /** Brings all there is. Gives why there is no more. */
  async run(): Promise<string> {
    const { endLsn, signal } = this.#options;
    const reader = this.#reader;
    for (;;) {
      throwIfCancelled(signal);
      const lengthBytes = await this.#read(reader.position);
      if (lengthBytes === 0) return 'the files end there';
      reader.feed(this.#piece, 0, lengthBytes);
      let reason = this.#readRecords();
      if (endLsn !== undefined && reader.lastEndLsn >= endLsn) reason = 'that is where it was to end';
      await this.#giveUpTo(toLsn(Math.min(reader.lastEndLsn, endLsn ?? reader.lastEndLsn)));
      if (reason !== undefined) return reason;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open?.file.close();
  }

  /** Goes over the records of what was fed. Gives why nothing after them is WAL, if that is so. */
  #readRecords(): string | undefined {
    const reader = this.#reader;
    try {
      while (reader.next());
    } catch (error) {
      // Where WAL ends there may be anything: the first record that is not good is the end (xlogrecovery.c, ReadRecord).
      if (error instanceof CorruptionError) return error.message;
      throw error;
    }
    return reader.end?.reason;
  }

  /** Brings what lies below, from the piece in memory where it is there. */
  async #giveUpTo(lsn: Lsn): Promise<void> {
    const { intake, signal } = this.#options;
    while (intake.position < lsn) {
      throwIfCancelled(signal);
      const { position } = intake;
      let offset = position - this.#pieceLsn;
      if (offset < 0 || offset >= this.#pieceBytes) {
        // A file may end before the padding of its last record does.
        if ((await this.#read(position)) === 0) return;
        offset = 0;
      }
      await intake.take(this.#piece.subarray(offset, Math.min(this.#pieceBytes, offset + lsn - position)));
    }
  }

  /** Reads the next piece, within one segment. Gives its length: 0 where no file has that place. */
  async #read(lsn: number): Promise<number> {
    const { segmentBytes } = this.#options;
    const segment = segmentNumber(lsn, segmentBytes);
    const offset = lsn - segment * segmentBytes;
    const wanted = Math.min(PIECE_BYTES, segmentBytes - offset);
    this.#pieceBytes = 0;
    const file = await this.#fileOf(segment);
    if (file === undefined) return 0;
    this.#pieceLsn = lsn;
    this.#pieceBytes = await file.read(this.#piece, 0, wanted, offset);
    return this.#pieceBytes;
  }

  async #fileOf(segment: number): Promise<ReadableFile | undefined> {
    if (this.#open?.segment === segment) return this.#open.file;
    const { files, directory } = this.#options;
    const name = this.#names.get(segment);
    if (name === undefined) return undefined;
    await this.#open?.file.close();
    this.#open = undefined;
    const file = await files.open(join(directory, name));
    this.#open = { segment, file };
    return file;
  }
}

/**
 * Which file holds which segment. Of several that of the latest PostgreSQL timeline, which begins with a copy of what the
 * earlier one had; a partial one only where there is no whole one. What an earlier timeline wrote after a later one has
 * forked off is left out.
 */
function findSegments(names: readonly string[], segmentBytes: number): Map<number, string> {
  const best = new Map<number, { readonly timelineId: number; readonly name: string }>();
  for (const name of names) {
    const isPartial = name.endsWith(PARTIAL_SUFFIX);
    const plain = isPartial ? name.slice(0, -PARTIAL_SUFFIX.length) : name;
    if (!isSegmentName(plain)) continue;
    const { timelineId, segment } = parseSegmentName(plain, segmentBytes);
    const other = best.get(segment);
    // Names come in their order: a whole one comes before its partial one.
    if (other === undefined || timelineId > other.timelineId) best.set(segment, { timelineId, name });
  }
  const found = new Map<number, string>();
  let latest = 0;
  for (const [segment, { timelineId, name }] of [...best].sort(([one], [other]) => one - other)) {
    if (timelineId < latest) continue;
    latest = timelineId;
    found.set(segment, name);
  }
  return found;
}
