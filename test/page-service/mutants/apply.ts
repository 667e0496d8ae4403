/** Loaded with --import: see applyMutant. */
import { applyMutant } from '../../support/mutants.ts';
import { MUTANTS } from './mutants.ts';

applyMutant(MUTANTS);
