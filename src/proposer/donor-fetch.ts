import { AssertionError } from '../base/errors.ts';
import { formatLsn, type Lsn } from '../base/lsn.ts';
import { pause, RetryDelay } from '../io/retry-delay.ts';
import type { ProposerMachine } from './consensus/proposer-machine.ts';
import { readFromDonor } from './donor-stream.ts';
import type { ProposerDoors, ProposerOptions, ProposerSettings } from './options.ts';
import type { SafekeeperLink } from './safekeeper-link.ts';
import type { WalWindow } from './wal-window.ts';

/** What a fetch works with. */
export interface DonorFetchParts {
  readonly machine: ProposerMachine;
  readonly links: ReadonlyMap<number, SafekeeperLink>;
  readonly window: WalWindow;
  readonly options: ProposerOptions;
  readonly settings: ProposerSettings;
  readonly doors: ProposerDoors;
}

/**
 * Brings one safekeeper the WAL that it lacks and that is not in memory any more: read from those that have it, one
 * after another, and passed on as it comes, no faster than the safekeeper takes it.
 */
export class DonorFetch {
  readonly #parts: DonorFetchParts;
  readonly #link: SafekeeperLink;
  readonly #life = new AbortController();
  readonly #retryDelay: RetryDelay;
  /** All below has been passed on. */
  #position: Lsn;
  #fetchedBytes = 0;

  constructor(parts: DonorFetchParts, link: SafekeeperLink, beginLsn: Lsn) {
    this.#parts = parts;
    this.#link = link;
    this.#position = beginLsn;
    this.#retryDelay = new RetryDelay(parts.settings.reconnect, parts.doors.random);
  }

  get fetchedBytes(): number {
    return this.#fetchedBytes;
  }

  /** The safekeeper has gone. */
  abort(): void {
    this.#life.abort();
  }

  /** Resolves when what is still lacking is in memory, or after `abort`. */
  async run(): Promise<void> {
    const { doors } = this.#parts;
    const { signal } = this.#life;
    for (let attempt = 0; this.#isLacking && !signal.aborted; attempt++) {
      const donors = this.#findDonors();
      const donorId = donors[attempt % donors.length];
      if (donorId !== undefined) await this.#readFrom(donorId, signal);
      if (this.#isLacking) await pause(doors.clock, this.#retryDelay.nextMs(), signal);
    }
  }

  /** What is in memory may begin later by now. */
  get #isLacking(): boolean {
    return this.#position < this.#parts.window.heldFromLsn;
  }

  #findDonors(): number[] {
    const { machine } = this.#parts;
    return machine.donors.filter(
      (id) => id !== this.#link.address.id && machine.positionOf(id).flushLsn > this.#position,
    );
  }

  async #readFrom(donorId: number, signal: AbortSignal): Promise<void> {
    const { machine, links, window, options, settings, doors } = this.#parts;
    doors.logger.info('a safekeeper gets older WAL from another one', {
      safekeeperId: this.#link.address.id,
      donorId,
      beginLsn: formatLsn(this.#position),
      endLsn: formatLsn(window.heldFromLsn),
    });
    const request = {
      donor: (links.get(donorId) as SafekeeperLink).address,
      term: machine.term,
      beginLsn: this.#position,
      take: (wal: Uint8Array) => this.#take(wal),
      hold: () => this.#hold(),
    };
    try {
      await readFromDonor(request, options, settings, doors, signal);
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      if (signal.aborted) return;
      doors.logger.warn('no older WAL comes from a safekeeper', {
        donorId,
        reason: (error as Error).message,
      });
    }
  }

  #take(wal: Uint8Array): boolean {
    const { machine, window } = this.#parts;
    if (this.#life.signal.aborted) return false;
    const endLsn = Math.min(this.#position + wal.length, window.heldFromLsn) as Lsn;
    const range = machine.fetched(this.#link.address.id, this.#position, endLsn);
    if (range === undefined) return false;
    this.#link.sendAppend(range, [wal.subarray(0, endLsn - this.#position)]);
    this.#fetchedBytes += endLsn - this.#position;
    this.#position = endLsn;
    this.#retryDelay.reset();
    return this.#isLacking;
  }

  #hold(): Promise<void> | undefined {
    const { unsentBytesMax } = this.#parts.settings;
    return this.#link.unsentBytes < unsentBytesMax ? undefined : this.#link.drained(unsentBytesMax / 2);
  }
}
