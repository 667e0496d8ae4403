/**
 * A decision over many layers, to be made in small pieces: each `next()` is some tens of microseconds of work. The map
 * of layers must stay as it is until the decision is there; who cannot be sure of that begins anew.
 */
export type Slices<T> = Generator<undefined, T>;

/** Makes the decision in one go. */
export function runToEnd<T>(slices: Slices<T>): T {
  for (;;) {
    const step = slices.next();
    if (step.done === true) return step.value;
  }
}
