import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SeededRandom } from '../support/seeded-random.ts';
import { splitStatements } from './sql-splitter.ts';

export interface CorpusFile {
  readonly name: string;
  readonly statements: readonly string[];
}

export const CORPUS_DIRECTORY: string = join(import.meta.dirname, 'corpus');

/** All `*.sql` files of a directory, in order of name. Throws if there is none. */
export async function readCorpus(directory: string = CORPUS_DIRECTORY): Promise<CorpusFile[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql')).sort();
  if (names.length === 0) throw new Error(`${directory} holds no .sql file`);
  return Promise.all(
    names.map(async (name) => ({
      name,
      statements: splitStatements(await readFile(join(directory, name), 'utf8')),
    })),
  );
}

/**
 * Deals the files to all sessions in random order; when all have been dealt they are shuffled again. So each file is
 * reached as early as its luck allows, and rarely runs beside itself.
 */
export class CorpusDeck {
  readonly #files: readonly CorpusFile[];
  readonly #random: SeededRandom;
  #rest: CorpusFile[] = [];

  constructor(files: readonly CorpusFile[], random: SeededRandom) {
    this.#files = files;
    this.#random = random;
  }

  draw(): CorpusFile {
    if (this.#rest.length === 0) this.#rest = this.#random.shuffle(this.#files);
    return this.#rest.pop() as CorpusFile;
  }
}
