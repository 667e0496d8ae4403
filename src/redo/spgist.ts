import { UnknownRecordError } from '../base/errors.ts';
import type { Page } from '../postgres/page/page.ts';
import { spgistResourceManager } from '../postgres/rmgr/spgist.ts';
import {
  XLOG_SPGIST_ADD_LEAF,
  XLOG_SPGIST_ADD_NODE,
  XLOG_SPGIST_MOVE_LEAFS,
  XLOG_SPGIST_PICKSPLIT,
  XLOG_SPGIST_SPLIT_TUPLE,
  XLOG_SPGIST_VACUUM_LEAF,
  XLOG_SPGIST_VACUUM_REDIRECT,
  XLOG_SPGIST_VACUUM_ROOT,
} from '../postgres/rmgr/spgist-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../postgres/wal/record-header.ts';
import { redoAddNode, redoSplitTuple } from './spgist-inner.ts';
import { redoAddLeaf, redoMoveLeafs } from './spgist-leaf.ts';
import { redoPickSplit } from './spgist-pick-split.ts';
import { redoVacuumLeaf, redoVacuumRedirect, redoVacuumRoot } from './spgist-vacuum.ts';

/** spg_redo (access/spgist/spgxlog.c). All of a record but its block numbers is in its main data. */
export function redoSpgist(page: Page, record: DecodedRecord, blockId: number): boolean {
  switch (record.info & ~RECORD_INFO_MASK) {
    case XLOG_SPGIST_ADD_LEAF:
      return redoAddLeaf(page, record, blockId);
    case XLOG_SPGIST_MOVE_LEAFS:
      return redoMoveLeafs(page, record, blockId);
    case XLOG_SPGIST_ADD_NODE:
      return redoAddNode(page, record, blockId);
    case XLOG_SPGIST_SPLIT_TUPLE:
      return redoSplitTuple(page, record, blockId);
    case XLOG_SPGIST_PICKSPLIT:
      return redoPickSplit(page, record, blockId);
    case XLOG_SPGIST_VACUUM_LEAF:
      return redoVacuumLeaf(page, record, blockId);
    case XLOG_SPGIST_VACUUM_ROOT:
      return redoVacuumRoot(page, record, blockId);
    case XLOG_SPGIST_VACUUM_REDIRECT:
      return redoVacuumRedirect(page, record, blockId);
    default:
      throw new UnknownRecordError(spgistResourceManager.name, record.info, record.startLsn);
  }
}
