import type { MaskFunction } from '../redo-types.ts';
import { maskPageLsnAndChecksum, maskUnusedSpace } from './common.ts';

/** seq_mask (commands/sequence.c). */
export const maskSequence: MaskFunction = (page) => {
  maskPageLsnAndChecksum(page);
  maskUnusedSpace(page);
};
