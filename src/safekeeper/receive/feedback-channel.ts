import type { PageserverFeedback } from '../../contracts/pageserver-feedback.ts';

/** Takes what a pageserver says. It must be quick and not throw. */
export type FeedbackListener = (feedback: PageserverFeedback) => void;

/** Tells all connected proposers what pageservers say. That nobody listens is in order. */
export class FeedbackChannel {
  /** What was said last, if anything was. */
  last: PageserverFeedback | undefined;
  /** How often something was said. */
  count = 0;
  readonly #listeners = new Set<FeedbackListener>();

  listen(listener: FeedbackListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  publish(feedback: PageserverFeedback): void {
    this.last = feedback;
    this.count++;
    for (const listener of this.#listeners) listener(feedback);
  }
}
