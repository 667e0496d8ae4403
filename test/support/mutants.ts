import { registerHooks } from 'node:module';

/** One change of a source file's text. */
export interface Edit {
  /** Below src/. */
  readonly file: string;
  /** Stands in the file once. */
  readonly search: string;
  readonly replacement: string;
}

/** A bug that somebody could have written, and that the tests must find. */
export interface Mutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** So many seeds from the first one on must do. */
  readonly seedsMax: number;
  /** The first seed: those before are known to show nothing, and would only take time. 1 where it is not given. */
  readonly firstSeed?: number;
}

const SOURCES = new URL('../../src/', import.meta.url).href;

/** From now on the process loads the sources as the mutant that VARVE_MUTANT names has them. The files are left alone. */
export function applyMutant(mutants: readonly Mutant[]): void {
  const mutant = mutants.find(({ name }) => name === process.env.VARVE_MUTANT);
  if (mutant === undefined) throw new Error(`there is no mutant ${process.env.VARVE_MUTANT}`);
  const { edits } = mutant;
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      const mine = edits.filter(({ file }) => url === SOURCES + file);
      if (mine.length === 0) return loaded;
      let source = String(loaded.source);
      for (const { search, replacement, file } of mine) {
        const parts = source.split(search);
        if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} times: ${search}`);
        source = parts.join(replacement);
      }
      return { ...loaded, source };
    },
  });
}
