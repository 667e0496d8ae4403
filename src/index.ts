/** The package's face: docs/library.md. Nothing in the package imports it. */

// biome-ignore lint/performance/noBarrelFile: a package has one
export { VarveError } from './base/errors.ts';
export type {
  BranchOptions,
  Varve,
  VarveBranch,
  VarveOptions,
  VarvePast,
  VarveProject,
} from './library/main.ts';
export { connectVarve, startVarve } from './library/main.ts';
