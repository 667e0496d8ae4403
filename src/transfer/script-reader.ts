import { Buffer } from 'node:buffer';
import { BadRequestError, CorruptionError } from '../base/errors.ts';
import { StatementSplitter } from '../client/sql/statement-splitter.ts';
import { SCRIPT_END, SCRIPT_HEAD } from './script-writer.ts';

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BACKSLASH = 0x5c;
const DOT = 0x2e;
const MARKER = '\n\\.';
/** A line that is longer than any statement that a server takes. */
const LINE_BYTES_MAX = 0x3fff_ffff;
/** What begins a script of pg_dump's, and its last words. */
const PG_DUMP_HEAD = '-- PostgreSQL database dump';
const PG_DUMP_END = '-- PostgreSQL database dump complete';
/** Of psql; pg_dump has them around a script so that nothing in it can be a command of psql's. There are none here. */
const PASSED_OVER = /^\\(un)?restrict\b/;

const utf8 = new TextDecoder('utf-8', { fatal: true });
const EMPTY = new Uint8Array(0);

/** Cuts a script, as it comes, into statements and the rows that follow a COPY. It holds no more than one of them. */
export class ScriptReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #splitter = new StatementSplitter();
  readonly #statements: string[] = [];
  #bytes: Uint8Array = EMPTY;
  #isEnded = false;
  /** The last words that the script has to have, by its first ones. */
  #lastWords: string | undefined;
  #isComplete = false;
  #isCopying = false;
  /** Of the script, that have been read. */
  bytesRead = 0;
  #line = 0;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /**
   * The next statement, without its semicolon; undefined at the end. After a COPY from stdin `rows` has to be read.
   * @throws BadRequestError PSQL_COMMAND, BAD_SCRIPT; CorruptionError TRUNCATED_SCRIPT
   */
  async nextStatement(): Promise<string | undefined> {
    while (this.#statements.length === 0) {
      const line = await this.#nextLine();
      if (line === undefined) return this.#end();
      this.#takeLine(line);
    }
    const statement = this.#statements.shift() as string;
    if (isCopyIn(statement)) {
      if (this.#statements.length > 0) {
        throw new BadRequestError(
          'BAD_SCRIPT',
          `line ${this.#line}: a COPY from stdin has to be the last of its line`,
        );
      }
      this.#isCopying = true;
    }
    return statement;
  }

  /** What follows a COPY, as it comes, without the line that ends it. @throws CorruptionError TRUNCATED_SCRIPT */
  async *rows(): AsyncGenerator<Uint8Array, void, undefined> {
    let isLineStart = true;
    while (this.#isCopying) {
      if (this.#bytes.length < 4) {
        await this.#fill();
        if (this.#bytes.length < 4 && !this.#isEnded) continue;
      }
      const bytes = this.#bytes;
      const marker = findMarker(bytes, isLineStart, this.#isEnded);
      if (marker >= 0) {
        this.#isCopying = false;
        const end = bytes.indexOf(NEWLINE, marker);
        this.#bytes = end < 0 ? EMPTY : bytes.subarray(end + 1);
        if (marker > 0) yield bytes.subarray(0, marker);
      } else if (this.#isEnded) throw truncated('within the rows of a table');
      else {
        // The line that ends it may be cut: three bytes, or four.
        const length = Math.max(0, bytes.length - 4);
        this.#bytes = bytes.subarray(length);
        if (length > 0) {
          isLineStart = bytes[length - 1] === NEWLINE;
          yield bytes.subarray(0, length);
        }
        await this.#fill();
      }
    }
  }

  #takeLine(line: string): void {
    if (!this.#splitter.hasBegun) {
      const words = line.trim();
      if (words === SCRIPT_HEAD) this.#lastWords ??= SCRIPT_END;
      else if (words === PG_DUMP_HEAD) this.#lastWords ??= PG_DUMP_END;
      else if (words === this.#lastWords) this.#isComplete = true;
      if (words === '' || words.startsWith('--') || PASSED_OVER.test(words)) return;
      if (words.startsWith('\\')) {
        const command = words.split(/\s/)[0];
        throw new BadRequestError(
          'PSQL_COMMAND',
          `line ${this.#line}: ${command} is a command of psql’s: run the script with psql`,
        );
      }
    }
    this.#statements.push(...this.#splitter.add(`${line}\n`));
  }

  #end(): string | undefined {
    const rest = this.#splitter.takeRest();
    if (this.#lastWords !== undefined && !this.#isComplete) throw truncated('it has no last line');
    return rest;
  }

  async #nextLine(): Promise<string | undefined> {
    const parts: Uint8Array[] = [];
    let length = 0;
    for (;;) {
      const end = this.#bytes.indexOf(NEWLINE);
      const part = end < 0 ? this.#bytes : this.#bytes.subarray(0, end);
      parts.push(part);
      length += part.length;
      if (length > LINE_BYTES_MAX)
        throw new BadRequestError('BAD_SCRIPT', `line ${this.#line + 1} is too long`);
      this.#bytes = end < 0 ? EMPTY : this.#bytes.subarray(end + 1);
      if (end >= 0) break;
      await this.#fill();
      if (this.#isEnded && this.#bytes.length === 0) {
        if (length === 0) return undefined;
        break;
      }
    }
    this.#line++;
    return this.#decode(parts.length === 1 ? (parts[0] as Uint8Array) : joined(parts, length));
  }

  #decode(bytes: Uint8Array): string {
    try {
      return utf8.decode(bytes);
    } catch (error) {
      const reason = `line ${this.#line} is not UTF-8: have it written with --encoding=UTF8`;
      throw new BadRequestError('BAD_SCRIPT', reason, {}, error);
    }
  }

  /** Puts the next bytes behind those that are there. */
  async #fill(): Promise<void> {
    const { done, value } = await this.#chunks.next();
    if (done === true) {
      this.#isEnded = true;
      return;
    }
    this.bytesRead += value.length;
    this.#bytes =
      this.#bytes.length === 0 ? value : joined([this.#bytes, value], this.#bytes.length + value.length);
  }
}

/** Whether rows follow it in the script. */
export const isCopyIn = (statement: string): boolean =>
  /^copy\s(?:"(?:[^"]|"")*"|[^"'$])*\sfrom\s+stdin\b/i.test(statement);

/** A line that is `\.` and nothing else. */
function isEndMarker(bytes: Uint8Array, at: number, isEnded: boolean): boolean {
  if (bytes[at] !== BACKSLASH || bytes[at + 1] !== DOT) return false;
  const next = bytes[at + 2] === CARRIAGE_RETURN ? at + 3 : at + 2;
  return next < bytes.length ? bytes[next] === NEWLINE : isEnded;
}

/** Where the line begins that ends the rows; what is cut at the end is looked at when the rest of it is there. */
function findMarker(bytes: Uint8Array, isLineStart: boolean, isEnded: boolean): number {
  if (isLineStart && isEndMarker(bytes, 0, isEnded)) return 0;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = buffer.indexOf(MARKER); at >= 0; at = buffer.indexOf(MARKER, at + 1)) {
    if (isEndMarker(bytes, at + 1, isEnded)) return at + 1;
  }
  return -1;
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const truncated = (where: string): CorruptionError =>
  new CorruptionError('TRUNCATED_SCRIPT', `the script is cut off: ${where}`);
