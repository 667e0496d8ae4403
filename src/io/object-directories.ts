import { VarveError } from '../base/errors.ts';
import type { Files } from './files.ts';

/** So many known directories are remembered. Beyond that all are forgotten, and synced once more. */
const KNOWN_MAX = 100_000;

const parentOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf('/'), 1));

/** Directories that are durable before anything is put into them. */
export class ObjectDirectories {
  readonly #files: Files;
  readonly #root: string;
  #isRootKnown = false;
  /** Below the root; their names, and those of all above them, are durable. */
  readonly #known = new Set<string>();

  constructor(files: Files, root: string) {
    this.#files = files;
    this.#root = root;
  }

  /** Makes the root, with what is missing above it. */
  async prepareRoot(): Promise<void> {
    if (this.#isRootKnown) return;
    const missing: string[] = [];
    for (let path = this.#root; await this.#isMissing(path); path = parentOf(path)) missing.push(path);
    if (missing.length > 0) await this.#files.makeDirectory(this.#root);
    for (const path of missing.reverse()) await this.#files.syncDirectory(parentOf(path));
    this.#isRootKnown = true;
  }

  /**
   * Makes a directory below the root. Where somebody else has just made it, it may not be durable yet: all on the way
   * are synced that this process has not synced before.
   * @param names its path from the root
   */
  async prepare(names: readonly string[]): Promise<void> {
    const path = [this.#root, ...names].join('/');
    if (names.length === 0 || this.#known.has(path)) return;
    await this.#files.makeDirectory(path);
    let parent = this.#root;
    for (const name of names) {
      const directory = `${parent}/${name}`;
      if (!this.#known.has(directory)) {
        await this.#files.syncDirectory(parent);
        if (this.#known.size >= KNOWN_MAX) this.#known.clear();
        this.#known.add(directory);
      }
      parent = directory;
    }
  }

  /** A directory has turned out to be gone: somebody removes them behind our back. */
  forget(): void {
    this.#known.clear();
    this.#isRootKnown = false;
  }

  async #isMissing(path: string): Promise<boolean> {
    try {
      await this.#files.stat(path);
      return false;
    } catch (error) {
      if (error instanceof VarveError && error.kind === 'not-found') return true;
      throw error;
    }
  }
}
