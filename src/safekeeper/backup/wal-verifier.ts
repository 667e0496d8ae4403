import { CorruptionError } from '../../base/errors.ts';
import { getPostgresVersion } from '../../postgres/versions/version.ts';
import { LONG_HEADER_BYTES } from '../../postgres/wal/page-header.ts';
import { WalReader } from '../../postgres/wal/wal-reader.ts';
import type { WalWorkspace } from '../../postgres/wal/workspace.ts';
import { endOfCutRecord, SCAN_CHUNK_BYTES } from '../wal/find-end.ts';
import { WAL_TIMELINE_ID } from '../wal/wal-directory.ts';
import type { WalKind } from './check-wal-pages.ts';

/** What is assumed of WAL before the server that writes it has said its version. */
const MAJOR_DEFAULT = 17;

export interface VerifierOptions {
  readonly kind: WalKind;
  readonly workspace: WalWorkspace;
  /** Where the segment begins. */
  readonly segmentLsn: number;
  /** Where its WAL ends, with a record. */
  readonly endLsn: number;
  /** Where the bytes are from, for errors. */
  readonly place: string;
}

/** Decodes a segment as it comes, from its first byte on, to see that it is whole and undamaged. */
export class WalVerifier {
  readonly #options: VerifierOptions;
  readonly #reader: WalReader;
  readonly #header = new Uint8Array(LONG_HEADER_BYTES);
  #position: number;
  #lastEnd = 0;

  constructor(options: VerifierOptions) {
    this.#options = options;
    const { kind, segmentLsn, workspace } = options;
    const { server, timelineStartLsn } = kind;
    const isFirst = timelineStartLsn >= segmentLsn && timelineStartLsn <= options.endLsn;
    const major = server.pgVersion === 0 ? MAJOR_DEFAULT : Math.floor(server.pgVersion / 10_000);
    this.#position = segmentLsn;
    this.#reader = new WalReader({
      version: getPostgresVersion(major),
      segmentBytes: server.segmentBytes,
      timelineId: WAL_TIMELINE_ID,
      // What stands before the beginning of all WAL is made up.
      startLsn: isFirst ? timelineStartLsn : segmentLsn,
      mode: isFirst ? 'exact' : 'search',
      workspace,
      ...(server.systemIdentifier === 0n ? {} : { systemIdentifier: server.systemIdentifier }),
    });
    if (isFirst) this.#lastEnd = timelineStartLsn;
  }

  /** How far it has come. */
  get position(): number {
    return this.#position;
  }

  /** @throws CorruptionError naming the place */
  feed(bytes: Uint8Array): void {
    const { segmentLsn, endLsn } = this.#options;
    if (this.#position + bytes.length > endLsn)
      this.#fail('WAL_OBJECT_LONG', 'there is more than was uploaded');
    const inHeader = this.#position - segmentLsn;
    if (inHeader < LONG_HEADER_BYTES)
      this.#header.set(bytes.subarray(0, LONG_HEADER_BYTES - inHeader), inHeader);
    const skipped = Math.min(bytes.length, Math.max(0, this.#reader.position - this.#position));
    for (let at = skipped; at < bytes.length; at += SCAN_CHUNK_BYTES) {
      this.#decode(bytes, at, Math.min(at + SCAN_CHUNK_BYTES, bytes.length));
    }
    this.#position += bytes.length;
  }

  /**
   * All has come.
   * @throws CorruptionError if WAL does not end, with a record, where it should
   */
  finish(): void {
    const { segmentLsn, endLsn, kind } = this.#options;
    if (this.#position < endLsn) this.#fail('WAL_OBJECT_SHORT', 'there is less than was uploaded');
    if (this.#reader.end === undefined) {
      if (this.#lastEnd === endLsn) return;
      // All of the segment may be the end of one record that began before it.
      const view = new DataView(this.#header.buffer);
      if (this.#lastEnd === 0 && endOfCutRecord(view, segmentLsn, kind.server.segmentBytes) === endLsn)
        return;
    }
    this.#fail('NO_RECORD_END', 'no record ends where this WAL should end');
  }

  #decode(bytes: Uint8Array, start: number, end: number): void {
    const reader = this.#reader;
    try {
      reader.feed(bytes, start, end);
      while (reader.next()) {
        if (reader.endLsn <= this.#options.endLsn) this.#lastEnd = reader.endLsn;
      }
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      const place = { ...error.place, file: this.#options.place };
      throw new CorruptionError(error.code, error.reason, place, error);
    }
  }

  #fail(code: string, reason: string): never {
    throw new CorruptionError(code, reason, { file: this.#options.place, lsn: this.#position });
  }
}
