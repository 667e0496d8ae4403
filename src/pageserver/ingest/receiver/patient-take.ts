import type { WalIntake } from '../wal-intake.ts';
import { isBug } from './stream-end.ts';

/** Brings an intake bytes, one piece at a time, and waits until they are taken, or until waiting is given up. */
export class PatientTake {
  readonly #intake: WalIntake;
  #giveUp: ((error: Error) => void) | undefined;

  constructor(intake: WalIntake) {
    this.#intake = intake;
  }

  /** As WalIntake.take. Rejects with what `giveUp` is called with, if that comes first: then the bytes are still in use. */
  take(bytes: Uint8Array): Promise<void> {
    const taking = this.#intake.take(bytes);
    return new Promise((resolve, reject) => {
      let isGivenUp = false;
      this.#giveUp = (error) => {
        isGivenUp = true;
        reject(error);
      };
      taking.then(resolve, (error: Error) => {
        reject(error);
        // Nobody hears of it otherwise.
        if (isGivenUp && isBug(error)) throw error;
      });
    });
  }

  /** What is being taken is not waited for any more. */
  giveUp(error: Error): void {
    this.#giveUp?.(error);
  }
}
