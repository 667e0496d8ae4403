import { BadRequestError, VarveError } from '../base/errors.ts';
import { formatLsn, parseLsn } from '../base/lsn.ts';
import { Page } from '../postgres/page/page.ts';
import { getPostgresVersion, type PostgresVersion } from '../postgres/versions/version.ts';
import { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { BLOCK_BYTES } from '../postgres/wal/record-header.ts';
import { type RedoResult, redo } from './redo.ts';

const FORMAT = 'varve-redo-case';
const FORMAT_VERSION = 1;

export interface RedoCaseRecord {
  readonly startLsn: number;
  readonly endLsn: number;
  /** The whole record, header and all, without WAL page headers. */
  readonly bytes: Uint8Array;
}

/**
 * All that is needed to repeat the replay of records on one page: for looking into a failure on another machine.
 * In a file it is JSON text, see docs/formats/redo-case.md.
 */
export interface RedoCase {
  readonly postgresVersion: PostgresVersion;
  readonly tablespace: number;
  readonly database: number;
  readonly relation: number;
  readonly fork: number;
  readonly block: number;
  readonly hintBitsAreLogged: boolean;
  /** The page before the first record: 8192 bytes. */
  readonly before: Uint8Array;
  /** In the order of replay. */
  readonly records: readonly RedoCaseRecord[];
  /** The page that replay should give, where that is known. */
  readonly expected?: Uint8Array;
  /** What went wrong when the case was written. */
  readonly note?: string;
}

/** Keeps a record for a case: a copy of its bytes. */
export function captureRecord(record: DecodedRecord): RedoCaseRecord {
  return {
    startLsn: record.startLsn,
    endLsn: record.endLsn,
    bytes: record.bytes.slice(record.offset, record.offset + record.totalLength),
  };
}

const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

export function encodeRedoCase(redoCase: RedoCase): string {
  const { tablespace, database, relation, fork, block } = redoCase;
  const text = {
    format: FORMAT,
    version: FORMAT_VERSION,
    postgresVersion: redoCase.postgresVersion.major,
    page: { tablespace, database, relation, fork, block },
    hintBitsAreLogged: redoCase.hintBitsAreLogged,
    before: toBase64(redoCase.before),
    records: redoCase.records.map((record) => ({
      startLsn: formatLsn(record.startLsn),
      endLsn: formatLsn(record.endLsn),
      bytes: toBase64(record.bytes),
    })),
    ...(redoCase.expected === undefined ? {} : { expected: toBase64(redoCase.expected) }),
    ...(redoCase.note === undefined ? {} : { note: redoCase.note }),
  };
  return `${JSON.stringify(text, undefined, 2)}\n`;
}

/** Takes fields out of parsed JSON, and says which one is missing or of another kind. */
class Fields {
  readonly #value: Record<string, unknown>;
  readonly #path: string;

  constructor(value: unknown, path: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(`${path} is not an object`);
    this.#value = value as Record<string, unknown>;
    this.#path = path;
  }

  #get(name: string, type: 'string' | 'number' | 'boolean'): unknown {
    const value = this.#value[name];
    if (typeof value !== type) fail(`${this.#path}.${name} is not a ${type}`);
    return value;
  }

  text(name: string): string {
    return this.#get(name, 'string') as string;
  }

  flag(name: string): boolean {
    return this.#get(name, 'boolean') as boolean;
  }

  /** A whole number of 32 bits. */
  count(name: string): number {
    const value = this.#get(name, 'number') as number;
    if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff)
      fail(`${this.#path}.${name} is out of range`);
    return value;
  }

  bytes(name: string): Uint8Array {
    const text = this.text(name);
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) fail(`${this.#path}.${name} is not base64`);
    return new Uint8Array(Buffer.from(text, 'base64'));
  }

  page(name: string): Uint8Array {
    const bytes = this.bytes(name);
    if (bytes.length !== BLOCK_BYTES)
      fail(`${this.#path}.${name} has ${bytes.length} bytes, not ${BLOCK_BYTES}`);
    return bytes;
  }

  object(name: string): Fields {
    return new Fields(this.#value[name], `${this.#path}.${name}`);
  }

  list(name: string): Fields[] {
    const value = this.#value[name];
    if (!Array.isArray(value)) fail(`${this.#path}.${name} is not a list`);
    return (value as unknown[]).map((item, index) => new Fields(item, `${this.#path}.${name}[${index}]`));
  }

  has(name: string): boolean {
    return this.#value[name] !== undefined;
  }
}

function fail(reason: string): never {
  throw new BadRequestError('BAD_REDO_CASE', `this is no redo case: ${reason}`);
}

/** Reads the text of a redo case. Throws BadRequestError naming the field that is wrong. */
export function decodeRedoCase(text: string): RedoCase {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    // The parser's own message quotes the text, which may be anything.
    throw new BadRequestError('BAD_REDO_CASE', 'this is no redo case: it is not JSON', {}, error);
  }
  const fields = new Fields(json, 'file');
  if (fields.text('format') !== FORMAT) fail(`file.format is not ${FORMAT}`);
  if (fields.count('version') !== FORMAT_VERSION) fail(`only version ${FORMAT_VERSION} is known`);
  const page = fields.object('page');
  return {
    postgresVersion: getPostgresVersion(fields.count('postgresVersion')),
    tablespace: page.count('tablespace'),
    database: page.count('database'),
    relation: page.count('relation'),
    fork: page.count('fork'),
    block: page.count('block'),
    hintBitsAreLogged: fields.flag('hintBitsAreLogged'),
    before: fields.page('before'),
    records: fields.list('records').map((record) => ({
      startLsn: parseLsn(record.text('startLsn')),
      endLsn: parseLsn(record.text('endLsn')),
      bytes: record.bytes('bytes'),
    })),
    ...(fields.has('expected') ? { expected: fields.page('expected') } : {}),
    ...(fields.has('note') ? { note: fields.text('note') } : {}),
  };
}

export interface RedoCaseStep {
  readonly startLsn: number;
  /** Undefined where the step failed. */
  readonly result?: RedoResult;
  readonly error?: VarveError;
}

export interface RedoCaseOutcome {
  /** One for each record, up to the first that failed. */
  readonly steps: readonly RedoCaseStep[];
  /** The page after the last step that succeeded. */
  readonly page: Page;
}

/** Repeats a case. A record that fails ends it; the page is then the one before that record. */
export function runRedoCase(redoCase: RedoCase): RedoCaseOutcome {
  const settings = { hintBitsAreLogged: redoCase.hintBitsAreLogged };
  const record = new DecodedRecord(redoCase.postgresVersion);
  const steps: RedoCaseStep[] = [];
  let page = new Page(redoCase.before.slice());
  for (const { startLsn, endLsn, bytes } of redoCase.records) {
    const after = new Page(page.bytes.slice());
    try {
      record.decode(
        bytes,
        new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
        0,
        bytes.length,
        startLsn,
        endLsn,
      );
      steps.push({ startLsn, result: redo(after, record, findBlockOfCase(redoCase, record), settings) });
      page = after;
    } catch (error) {
      if (!(error instanceof VarveError)) throw error;
      steps.push({ startLsn, error });
      break;
    }
  }
  return { steps, page };
}

function findBlockOfCase(redoCase: RedoCase, record: DecodedRecord): number {
  for (let id = 0; id < record.blockCount; id++) {
    if (
      record.hasBlock(id) &&
      record.blockTablespace[id] === redoCase.tablespace &&
      record.blockDatabase[id] === redoCase.database &&
      record.blockRelation[id] === redoCase.relation &&
      record.blockFork[id] === redoCase.fork &&
      record.blockNumber[id] === redoCase.block
    ) {
      return id;
    }
  }
  throw new BadRequestError('BAD_REDO_CASE', 'the record does not name the page of the case', {
    lsn: record.startLsn,
  });
}
