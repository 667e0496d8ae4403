import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** What a log's earlier lines are in, when it has become too long. */
const EARLIER_SUFFIX = '.1';

/** A file for the lines of a log, which stays short: it is kept twice at most. Nothing is written but lines. */
export class LogFile implements Disposable {
  readonly #path: string;
  readonly #bytesMax: number;
  #descriptor: number;
  #sizeBytes: number;

  /** @throws what the disk fails of */
  constructor(path: string, bytesMax: number) {
    this.#path = path;
    this.#bytesMax = bytesMax;
    mkdirSync(dirname(path), { recursive: true });
    this.#descriptor = openSync(path, 'a', 0o600);
    this.#sizeBytes = fstatSync(this.#descriptor).size;
  }

  /** A log is not worth the end of what it tells of: a line that the disk does not take is lost. */
  write(line: string): void {
    try {
      if (this.#sizeBytes > this.#bytesMax) this.#begin();
      this.#sizeBytes += writeSync(this.#descriptor, line);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor);
  }

  #begin(): void {
    renameSync(this.#path, this.#path + EARLIER_SUFFIX);
    const descriptor = openSync(this.#path, 'a', 0o600);
    closeSync(this.#descriptor);
    this.#descriptor = descriptor;
    this.#sizeBytes = 0;
  }
}

/** The logs of one thread, by name, in a directory; each file is opened when it gets its first line. */
export class LogFiles implements Disposable {
  readonly #directory: string;
  readonly #bytesMax: number;
  readonly #open = new Map<string, LogFile>();

  constructor(directory: string, bytesMax: number) {
    this.#directory = directory;
    this.#bytesMax = bytesMax;
  }

  write(name: string, line: string): void {
    let file = this.#open.get(name);
    if (file === undefined) {
      file = new LogFile(`${this.#directory}/${name}.log`, this.#bytesMax);
      this.#open.set(name, file);
    }
    file.write(line);
  }

  [Symbol.dispose](): void {
    for (const file of this.#open.values()) file[Symbol.dispose]();
    this.#open.clear();
  }
}
