/** A change of names that is under way. */
interface Change {
  readonly paths: readonly string[];
  readonly done: Promise<void>;
}

/** Whether a path is at or below another. */
export const isAtOrBelow = (path: string, above: string): boolean =>
  path.startsWith(above) && (path.length === above.length || path[above.length] === '/');

/** Keeps changes of names apart from one another, and from openings, where they touch the same paths. */
export class NameChanges {
  readonly #underWay = new Set<Change>();

  /** Resolves when no change touches the path; undefined where none does now. */
  rest(path: string): Promise<void> | undefined {
    for (const { paths, done } of this.#underWay) {
      if (paths.some((other) => isAtOrBelow(path, other))) return done;
    }
    return undefined;
  }

  /** Runs a change of what is at and below the paths, alone. */
  async run<Result>(paths: readonly string[], change: () => Promise<Result>): Promise<Result> {
    for (let other = this.#conflict(paths); other !== undefined; other = this.#conflict(paths)) await other;
    const { promise, resolve } = Promise.withResolvers<void>();
    const entry: Change = { paths, done: promise };
    this.#underWay.add(entry);
    try {
      return await change();
    } finally {
      this.#underWay.delete(entry);
      resolve();
    }
  }

  #conflict(paths: readonly string[]): Promise<void> | undefined {
    for (const { paths: others, done } of this.#underWay) {
      const touches = (path: string): boolean =>
        others.some((other) => isAtOrBelow(path, other) || isAtOrBelow(other, path));
      if (paths.some(touches)) return done;
    }
    return undefined;
  }
}
