/**
 * Loaded with --import: the process runs the sources as the mutant that VARVE_MUTANT names has them. The files are left
 * alone.
 */
import { registerHooks } from 'node:module';
import { MUTANTS } from './mutants.ts';

const SOURCES = new URL('../../../src/', import.meta.url).href;
const mutant = MUTANTS.find(({ name }) => name === process.env.VARVE_MUTANT);
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
