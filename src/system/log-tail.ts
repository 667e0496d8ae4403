import { VarveError } from '../base/errors.ts';
import type { Clock } from '../io/clock.ts';
import type { Files } from '../io/files.ts';
import { pause } from '../io/retry-delay.ts';

const SUFFIX = '.log';
/** What a log was renamed to when it had become too long (log-file.ts). */
const EARLIER_SUFFIX = '.1';
const POLL_MS = 200;
const CHUNK_BYTES = 64 * 1024;
const LF = 0x0a;

export interface LogLine {
  readonly service: string;
  readonly line: string;
}

/** Names of the services that have a log in a directory. */
export async function listLogs(files: Files, directory: string): Promise<string[]> {
  try {
    const names = await files.list(directory);
    return names.filter((name) => name.endsWith(SUFFIX)).map((name) => name.slice(0, -SUFFIX.length));
  } catch (error) {
    if (error instanceof VarveError && error.code === 'FILE_NOT_FOUND') return [];
    throw error;
  }
}

/** How far a log has been read. */
interface Position {
  /** Of what is in the file now. */
  bytes: number;
  /** The beginning of a line whose end is not there yet. */
  rest: Uint8Array;
}

/** The last lines of the logs of a directory, and what comes after them; of logs that are begun later, too. */
export class LogTail {
  readonly #files: Files;
  readonly #directory: string;
  readonly #service: string | undefined;
  readonly #last: LogLine[] = [];
  readonly #positions = new Map<string, Position>();

  private constructor(files: Files, directory: string, service: string | undefined) {
    this.#files = files;
    this.#directory = directory;
    this.#service = service;
  }

  /**
   * @param service the only one that is read; undefined: all
   * @param count of lines of each log, from its end
   */
  static async open(
    files: Files,
    directory: string,
    service: string | undefined,
    count: number,
  ): Promise<LogTail> {
    const tail = new LogTail(files, directory, service);
    const all = await tail.read();
    for (const lines of Map.groupBy(all, (line) => line.service).values()) {
      tail.#last.push(...lines.slice(Math.max(0, lines.length - count)));
    }
    return tail;
  }

  /** Of each log, in the order of their names. */
  get last(): readonly LogLine[] {
    return this.#last;
  }

  /** The lines that have come since the last call. */
  async read(): Promise<LogLine[]> {
    const lines: LogLine[] = [];
    for (const service of await this.#names()) {
      const position = this.#positions.get(service) ?? { bytes: 0, rest: new Uint8Array() };
      this.#positions.set(service, position);
      for (const line of await this.#linesOf(service, position)) lines.push({ service, line });
    }
    return lines;
  }

  /** Hands over lines as they come, until the signal is given. */
  async follow(clock: Clock, signal: AbortSignal, onLine: (line: LogLine) => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      for (const line of await this.read()) await onLine(line);
      await pause(clock, POLL_MS, signal);
    }
  }

  async #linesOf(service: string, position: Position): Promise<string[]> {
    const name = service + SUFFIX;
    const lines: string[] = [];
    // It was begun anew: the end of what was there before is in another file.
    if ((await this.#sizeOf(name)) < position.bytes) {
      await this.#readOn(name + EARLIER_SUFFIX, position, lines);
      position.bytes = 0;
    }
    await this.#readOn(name, position, lines);
    return lines;
  }

  async #readOn(name: string, position: Position, lines: string[]): Promise<void> {
    try {
      await using file = await this.#files.open(`${this.#directory}/${name}`);
      const chunk = new Uint8Array(CHUNK_BYTES);
      for (;;) {
        const length = await file.read(chunk, 0, chunk.length, position.bytes);
        if (length === 0) return;
        position.bytes += length;
        position.rest = splitLines(position.rest, chunk.subarray(0, length), lines);
      }
    } catch (error) {
      if (!(error instanceof VarveError) || error.code !== 'FILE_NOT_FOUND') throw error;
    }
  }

  async #names(): Promise<string[]> {
    const names = await listLogs(this.#files, this.#directory);
    return this.#service === undefined ? names : names.filter((name) => name === this.#service);
  }

  async #sizeOf(name: string): Promise<number> {
    try {
      return (await this.#files.stat(`${this.#directory}/${name}`)).sizeBytes;
    } catch (error) {
      if (error instanceof VarveError && error.code === 'FILE_NOT_FOUND') return 0;
      throw error;
    }
  }
}

/** @returns what is behind the last line */
function splitLines(rest: Uint8Array, chunk: Uint8Array, lines: string[]): Uint8Array {
  const bytes = new Uint8Array(rest.length + chunk.length);
  bytes.set(rest);
  bytes.set(chunk, rest.length);
  let start = 0;
  for (let end = bytes.indexOf(LF); end >= 0; end = bytes.indexOf(LF, start)) {
    if (end > start) lines.push(new TextDecoder().decode(bytes.subarray(start, end)));
    start = end + 1;
  }
  return bytes.slice(start);
}
