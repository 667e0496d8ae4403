import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { stat } from 'node:fs/promises';

/** Between two looks at how long a file has become. */
const LOOK_MS = 1000;
const COPY_BYTES = 1024 * 1024;

/** What a program's output is kept in: the file that it writes to, and one with what was before. */
export const earlierOutputPath = (path: string): string => `${path}.1`;

/**
 * Keeps a file short that a program appends to (O_APPEND, so that it goes on at the new end when the file is cut): what
 * is in a file that has become too long goes to another one, in place of what that had. Some lines may be lost that are
 * written in the very moment.
 */
export class BoundedOutput {
  readonly #path: string;
  readonly #bytesMax: number;
  readonly #timer: NodeJS.Timeout;
  #isLooking = false;

  /** @param bytesMax of each of both files; the program may write more between two looks */
  constructor(path: string, bytesMax: number, lookMs = LOOK_MS) {
    this.#path = path;
    this.#bytesMax = bytesMax;
    this.#timer = setInterval(() => void this.#look(), lookMs);
    this.#timer.unref();
  }

  /** Nobody writes any more, or it may grow. */
  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      if ((await stat(this.#path)).size > this.#bytesMax) cutOutput(this.#path, this.#bytesMax);
    } catch (error) {
      // Somebody has removed it, or there is no space for a copy: the program's output is not worth its end.
      if (!(error instanceof Error && 'code' in error)) throw error;
    } finally {
      this.#isLooking = false;
    }
  }
}

/** Moves the last bytes of a file to the other one, and empties it. */
function cutOutput(path: string, bytesMax: number): void {
  const source = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  const target = openSync(
    earlierOutputPath(path),
    constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW,
    0o600,
  );
  try {
    const buffer = Buffer.allocUnsafe(COPY_BYTES);
    let position = Math.max(0, fstatSync(source).size - bytesMax);
    // What is written meanwhile comes along.
    for (;;) {
      const length = readSync(source, buffer, 0, buffer.length, position);
      if (length === 0) break;
      for (let at = 0; at < length; ) at += writeSync(target, buffer, at, length - at);
      position += length;
    }
    ftruncateSync(source, 0);
  } finally {
    closeSync(source);
    closeSync(target);
  }
}
