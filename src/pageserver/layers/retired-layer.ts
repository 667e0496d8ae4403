import { VarveError } from '../../base/errors.ts';

/** Says that a layer was replaced while it was read: the layers are to be looked up anew. */
export const LAYER_RETIRED = 'LAYER_RETIRED';

/** More often than this no layer is replaced under a read, but that layers are gone for good and still looked up. */
export const RETIRED_MAX = 1000;

export const isRetired = (error: unknown): boolean =>
  error instanceof VarveError && error.code === LAYER_RETIRED;
