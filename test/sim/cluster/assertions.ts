import { AssertionError } from '../../../src/base/errors.ts';

let onRaised: ((error: AssertionError) => void) | undefined;
let isInstalled = false;

/**
 * Calls back for every assertion that fails from now on, wherever it is caught: a connection's error handling turns it
 * into an answer to somebody else, but it is a bug all the same.
 */
export function listenToAssertions(to: ((error: AssertionError) => void) | undefined): void {
  onRaised = to;
  if (isInstalled) return;
  isInstalled = true;
  // Every error says its name while it is made.
  Object.defineProperty(AssertionError.prototype, 'name', {
    configurable: true,
    get: () => 'AssertionError',
    set(this: AssertionError) {
      onRaised?.(this);
    },
  });
}
