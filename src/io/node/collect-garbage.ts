import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** V8's own function, where it is exposed (extensions/gc-extension.cc). */
type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

/**
 * Gives back what this thread's heap does not need, which V8 does by itself only when it needs more: a start leaves as much
 * garbage as there is of worth. Takes some ten milliseconds.
 */
export function collectGarbage(): void {
  // A flag of all threads: it stays, or one thread would take it away while another one looks for the function.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Collect;
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
