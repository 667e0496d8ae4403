import type { Connection } from '../../src/io/sockets.ts';
import type { SeededRandom } from '../../test/support/seeded-random.ts';
import { mutate } from '../mutate.ts';
import type { PageserverUnderFire } from './pageserver-under-fire.ts';

/** So long a shot may take until it is answered, or is let go of. */
const ANSWER_MS_MAX = 10_000;
const KEPT_BYTES_MAX = 4 * 1024 * 1024;

/** As mutate, of bytes that may be a Buffer, whose methods are not those of other arrays. */
export function damaged(bytes: Uint8Array, other: Uint8Array, random: SeededRandom): Uint8Array {
  return mutate(new Uint8Array(bytes), new Uint8Array(other), random);
}

/** One connection that sends what it likes, and keeps what comes, up to a bound. */
export class Shot {
  readonly #connection: Connection;
  readonly #chunks: Uint8Array[] = [];
  #receivedBytes = 0;
  #isOver = false;
  #wake: () => void = () => undefined;

  private constructor(connection: Connection) {
    this.#connection = connection;
    const over = (): void => {
      this.#isOver = true;
      this.#wake();
    };
    connection.receive({
      onBytes: (chunk) => {
        if (this.#receivedBytes < KEPT_BYTES_MAX) this.#chunks.push(chunk.slice());
        this.#receivedBytes += chunk.length;
        this.#wake();
      },
      onEnd: over,
      onClosed: over,
    });
  }

  static async at(world: PageserverUnderFire, port: 'page' | 'http'): Promise<Shot> {
    return new Shot(await world.connect(port === 'page' ? world.pageAddress : world.httpAddress));
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** The other side sends nothing more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  get unsentBytes(): number {
    return this.#connection.unsentBytes;
  }

  send(...parts: (string | Uint8Array)[]): void {
    this.#connection.send(Buffer.concat(parts.map((part) => Buffer.from(part as string))));
  }

  drained(limitBytes: number): Promise<void> {
    return this.#connection.drained(limitBytes);
  }

  /** Takes nothing any more. */
  pause(): void {
    this.#connection.pause();
  }

  /** Says that nothing more comes. */
  end(): void {
    this.#connection.end();
  }

  close(): void {
    this.#connection.close();
  }

  /** Waits until this holds, or no more can come. Returns whether it holds. @throws Error where that takes too long */
  async until(isEnough: () => boolean): Promise<boolean> {
    const endMs = performance.now() + ANSWER_MS_MAX;
    while (!isEnough() && !this.#isOver) {
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) throw new Error(`nothing is answered in ${ANSWER_MS_MAX} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return isEnough();
  }
}
