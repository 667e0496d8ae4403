import { VarveError } from '../../base/errors.ts';
import { throwIfCancelled } from '../../io/cancelled.ts';
import type { Clock } from '../../io/clock.ts';
import type { Random } from '../../io/random.ts';
import { pause, RetryDelay } from '../../io/retry-delay.ts';
import type { Logger } from '../../observe/log.ts';
import type { Page } from '../../postgres/page/page.ts';
import type { Key } from '../keyspace/key.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import type { PageRequest } from './page-reader.ts';
import type { ScannedValue } from './scan-keys.ts';
import { TimelineReader } from './timeline-reader.ts';

const RETRY_TIMING = { minMs: 100, maxMs: 30_000 };

export interface PatienceDoors {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Told of each failure that it will not pass on. */
  readonly onFailure: (error: VarveError) => void;
}

/**
 * A reader that tries again for as long as something is not available, such as a bucket from which a layer has to come.
 * For who can do nothing without an answer. Other errors, and the end of the signal, are passed on.
 */
export class PatientReader extends TimelineReader {
  readonly #signal: AbortSignal;
  readonly #doors: PatienceDoors;

  constructor(doors: PatienceDoors, ...of: ConstructorParameters<typeof TimelineReader>) {
    super(...of);
    this.#signal = of[2].signal;
    this.#doors = doors;
  }

  override readPage(key: Key, lsn: number, target: Page): Promise<void> {
    return this.#untilAvailable(() => super.readPage(key, lsn, target));
  }

  override readPages(requests: readonly PageRequest[]): Promise<void> {
    return this.#untilAvailable(() => super.readPages(requests));
  }

  override readValue(key: Key, lsn: number): Promise<Uint8Array | undefined> {
    return this.#untilAvailable(() => super.readValue(key, lsn));
  }

  override scan(range: KeyRange, lsn: number): Promise<ScannedValue[]> {
    return this.#untilAvailable(() => super.scan(range, lsn));
  }

  async #untilAvailable<Result>(read: () => Promise<Result>): Promise<Result> {
    const { clock, random, log, onFailure } = this.#doors;
    const retryDelay = new RetryDelay(RETRY_TIMING, random);
    for (;;) {
      try {
        return await read();
      } catch (error) {
        if (!(error instanceof VarveError) || error.kind !== 'unavailable') throw error;
        throwIfCancelled(this.#signal);
        onFailure(error);
        log.warn('What is stored could not be read and will be tried again', { error });
      }
      await pause(clock, retryDelay.nextMs(), this.#signal);
      throwIfCancelled(this.#signal);
    }
  }
}
