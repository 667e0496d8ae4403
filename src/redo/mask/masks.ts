import { BadRequestError } from '../../base/errors.ts';
import {
  RM_BRIN,
  RM_BTREE,
  RM_GENERIC,
  RM_GIN,
  RM_GIST,
  RM_HASH,
  RM_HEAP,
  RM_HEAP2,
  RM_SEQUENCE,
  RM_SPGIST,
} from '../../postgres/rmgr/resource-manager.ts';
import type { MaskFunction } from '../redo-types.ts';
import { maskBrin } from './brin.ts';
import { maskBtree } from './btree.ts';
import { maskGeneric } from './generic.ts';
import { maskGin } from './gin.ts';
import { maskGist } from './gist.ts';
import { maskHash } from './hash.ts';
import { maskHeap } from './heap.ts';
import { maskSequence } from './sequence.ts';
import { maskSpgist } from './spgist.ts';

const byResourceManager: (MaskFunction | undefined)[] = [];
byResourceManager[RM_HEAP2] = maskHeap;
byResourceManager[RM_HEAP] = maskHeap;
byResourceManager[RM_BTREE] = maskBtree;
byResourceManager[RM_HASH] = maskHash;
byResourceManager[RM_GIN] = maskGin;
byResourceManager[RM_GIST] = maskGist;
byResourceManager[RM_SEQUENCE] = maskSequence;
byResourceManager[RM_SPGIST] = maskSpgist;
byResourceManager[RM_BRIN] = maskBrin;
byResourceManager[RM_GENERIC] = maskGeneric;

/** The mask of a resource manager's pages (rmgrlist.h, rm_mask), or undefined where it has none. */
export function findMask(resourceManager: number): MaskFunction | undefined {
  return byResourceManager[resourceManager];
}

/** The masks by the name of what the pages belong to: an access method, or `sequence`. */
export const MASKS_BY_NAME: Readonly<Record<string, MaskFunction>> = {
  heap: maskHeap,
  btree: maskBtree,
  hash: maskHash,
  gin: maskGin,
  gist: maskGist,
  spgist: maskSpgist,
  brin: maskBrin,
  sequence: maskSequence,
  bloom: maskGeneric,
  generic: maskGeneric,
};

/**
 * The mask for the pages of a relation, by the name of its access method; sequences and TOAST tables included.
 * @throws BadRequestError for an access method that has no mask here.
 */
export function getMaskOfRelation(accessMethod: string | null, relationKind: string): MaskFunction {
  if (relationKind === 'S') return maskSequence;
  const mask = MASKS_BY_NAME[accessMethod ?? 'heap'];
  if (mask === undefined) {
    throw new BadRequestError(
      'UNKNOWN_ACCESS_METHOD',
      `no mask is known for the access method ${accessMethod}`,
    );
  }
  return mask;
}
