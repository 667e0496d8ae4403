/** One value of a layer, for people and as JSON. */
import { CorruptionError } from '../base/errors.ts';
import { formatLsn } from '../base/lsn.ts';
import type { InspectedValue } from '../pageserver/main.ts';
import { getPageLsn, Page } from '../postgres/page/page.ts';
import type { PostgresVersion } from '../postgres/versions/version.ts';
import { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { BLOCK_BYTES } from '../postgres/wal/record-header.ts';
import { recognizeKind } from './page-content/page-description.ts';
import { bytesText, fieldsText, quoteUnlessPlain, toJsonValue } from './plain-value.ts';
import { recordDescription, recordJson, resourceManagerName } from './record-text.ts';

/** Describes values whose records are of one version. */
export class ValueDescriber {
  readonly #record: DecodedRecord;

  constructor(version: PostgresVersion) {
    this.#record = new DecodedRecord(version);
  }

  /** LSN, kind, length, and what it is, without the key. */
  line(value: InspectedValue): string {
    const { lsn, kind, flags, bytes } = value;
    const head = `${formatLsn(lsn).padEnd(12)} ${kind.padEnd(6)} ${String(bytes.length).padStart(7)} bytes`;
    const flagsText = flags.length === 0 ? '' : ` [${flags.join(', ')}]`;
    return `${head}${flagsText} ${this.#text(value)}`;
  }

  json(value: InspectedValue): object {
    const { key, keyText, lsn, kind, flags, bytes, meaning } = value;
    const head = { key, keyText, lsn: formatLsn(lsn), kind, flags, lengthBytes: bytes.length };
    if (kind === 'record') {
      const record = this.#decode(value);
      if (record instanceof CorruptionError) return { ...head, recordError: record.reason };
      // Layers keep where a record ends, and not where it begins.
      const { lsn: _, ...described } = recordJson(record) as Record<string, unknown>;
      return { ...head, record: described };
    }
    const page = describeImage(value);
    if (page !== undefined) return { ...head, page: toJsonValue(page) };
    if (meaning !== undefined) return { ...head, meaning: toJsonValue(meaning) };
    return { ...head, bytes: toJsonValue(bytes) };
  }

  #text(value: InspectedValue): string {
    const { kind, bytes, meaning } = value;
    if (kind === 'record') {
      const record = this.#decode(value);
      if (record instanceof CorruptionError) return `(cannot be decoded: ${record.reason})`;
      return `${resourceManagerName(record.resourceManager)} ${recordDescription(record)}`;
    }
    const page = describeImage(value);
    if (page !== undefined) return fieldsText(page);
    if (kind === 'poison') return `POISON ${quoteUnlessPlain(String(meaning?.['reason']))}`;
    if (meaning?.['exists'] === false) return 'does not exist';
    return meaning === undefined ? bytesText(bytes) : fieldsText(meaning);
  }

  #decode({ bytes, lsn }: InspectedValue): DecodedRecord | CorruptionError {
    try {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      this.#record.decode(bytes, view, 0, bytes.length, lsn, lsn);
      return this.#record;
    } catch (error) {
      if (error instanceof CorruptionError) return error;
      throw error;
    }
  }
}

/** What a page's image is; undefined where it is none. */
function describeImage({ content, kind, bytes, fork, block }: InspectedValue): object | undefined {
  if (kind !== 'image' || content !== 'relation-page' || bytes.length !== BLOCK_BYTES) return undefined;
  const page = new Page(bytes);
  return { page: recognizeKind(page, fork, block), lsn: getPageLsn(page) };
}
