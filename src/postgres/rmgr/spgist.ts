import {
  SPGIST_DEAD_TUPLE_BYTES,
  SPGIST_INNER_HEADER_BYTES,
  spgistInnerTupleSize,
  spgistLeafTupleSize,
} from '../page/spgist-page.ts';
import type { DecodedRecord } from '../wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../wal/record-header.ts';
import { findKindName, type KindNames, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_SPGIST, refuseBody } from './resource-manager.ts';
import type {
  SpgistAddLeafBody,
  SpgistAddNodeBody,
  SpgistBody,
  SpgistMoveLeafsBody,
  SpgistPickSplitBody,
  SpgistSplitTupleBody,
  SpgistState,
  SpgistVacuumLeafBody,
  SpgistVacuumRedirectBody,
  SpgistVacuumRootBody,
} from './spgist-body.ts';
import {
  SPGIST_ADD_NODE_PARENT_MAX,
  SPGIST_ADD_NODE_PARENT_NONE,
  SPGIST_PICK_SPLIT_STATE,
  SPGIST_STATE_BYTES,
  SPGIST_STATE_IS_BUILD,
  XLOG_SPGIST_ADD_LEAF,
  XLOG_SPGIST_ADD_NODE,
  XLOG_SPGIST_MOVE_LEAFS,
  XLOG_SPGIST_PICKSPLIT,
  XLOG_SPGIST_SPLIT_TUPLE,
  XLOG_SPGIST_VACUUM_LEAF,
  XLOG_SPGIST_VACUUM_REDIRECT,
  XLOG_SPGIST_VACUUM_ROOT,
} from './spgist-layout.ts';

const KINDS = new Map([
  [XLOG_SPGIST_ADD_LEAF, 'ADD_LEAF'],
  [XLOG_SPGIST_MOVE_LEAFS, 'MOVE_LEAFS'],
  [XLOG_SPGIST_ADD_NODE, 'ADD_NODE'],
  [XLOG_SPGIST_SPLIT_TUPLE, 'SPLIT_TUPLE'],
  [XLOG_SPGIST_PICKSPLIT, 'PICKSPLIT'],
  [XLOG_SPGIST_VACUUM_LEAF, 'VACUUM_LEAF'],
  [XLOG_SPGIST_VACUUM_ROOT, 'VACUUM_ROOT'],
  [XLOG_SPGIST_VACUUM_REDIRECT, 'VACUUM_REDIRECT'],
]) satisfies KindNames;

function readLeafTuple(reader: BodyReader): Uint8Array {
  return reader.sizedBytes(SPGIST_DEAD_TUPLE_BYTES, spgistLeafTupleSize);
}

function readInnerTuple(reader: BodyReader): Uint8Array {
  return reader.sizedBytes(SPGIST_INNER_HEADER_BYTES, spgistInnerTupleSize, SPGIST_DEAD_TUPLE_BYTES);
}

function readState(reader: BodyReader): SpgistState {
  const state = { redirectXid: reader.u32(), isBuild: reader.bool() };
  reader.skip(SPGIST_STATE_BYTES - SPGIST_STATE_IS_BUILD - 1);
  return state;
}

function readAddLeaf(main: BodyReader): SpgistAddLeafBody {
  return {
    kind: 'ADD_LEAF',
    newPage: main.bool(),
    storesNulls: main.bool(),
    offsetLeaf: main.u16(),
    offsetHeadLeaf: main.u16(),
    offsetParent: main.u16(),
    node: main.u16(),
    leafTuple: readLeafTuple(main),
  };
}

function readMoveLeafs(main: BodyReader): SpgistMoveLeafsBody {
  const moveCount = main.u16();
  const newPage = main.bool();
  const replaceDead = main.bool();
  const storesNulls = main.bool();
  main.skip(1);
  const offsetParent = main.u16();
  const node = main.u16();
  main.skip(2);
  const state = readState(main);
  const deleted = main.u16Array(moveCount);
  const inserted = main.u16Array(replaceDead ? 1 : moveCount + 1);
  const leafTuples = inserted.map(() => readLeafTuple(main));
  return {
    kind: 'MOVE_LEAFS',
    newPage,
    replaceDead,
    storesNulls,
    offsetParent,
    node,
    state,
    deleted,
    inserted,
    leafTuples,
  };
}

function readAddNode(record: DecodedRecord, main: BodyReader): SpgistAddNodeBody {
  const offset = main.u16();
  const offsetNew = main.u16();
  const newPage = main.bool();
  const parentBlock = (main.u8() << 24) >> 24;
  if (parentBlock < SPGIST_ADD_NODE_PARENT_NONE || parentBlock > SPGIST_ADD_NODE_PARENT_MAX) {
    refuseBody('SPGist', record, `${parentBlock} names no page of the parent`);
  }
  const offsetParent = main.u16();
  const node = main.u16();
  main.skip(2);
  const state = readState(main);
  const innerTuple = readInnerTuple(main);
  return { kind: 'ADD_NODE', offset, offsetNew, newPage, parentBlock, offsetParent, node, state, innerTuple };
}

function readSplitTuple(main: BodyReader): SpgistSplitTupleBody {
  return {
    kind: 'SPLIT_TUPLE',
    offsetPrefix: main.u16(),
    offsetPostfix: main.u16(),
    newPage: main.bool(),
    postfixOnSamePage: main.bool(),
    prefixTuple: readInnerTuple(main),
    postfixTuple: readInnerTuple(main),
  };
}

function readPickSplit(main: BodyReader): SpgistPickSplitBody {
  const isRootSplit = main.bool();
  main.skip(1);
  const deleteCount = main.u16();
  const insertCount = main.u16();
  const initializeSource = main.bool();
  const initializeDestination = main.bool();
  const offsetInner = main.u16();
  const initializeInner = main.bool();
  const storesNulls = main.bool();
  const innerIsParent = main.bool();
  main.skip(1);
  const offsetParent = main.u16();
  const node = main.u16();
  main.skip(SPGIST_PICK_SPLIT_STATE - main.consumed);
  const state = readState(main);
  const deleted = main.u16Array(deleteCount);
  const inserted = main.u16Array(insertCount);
  const toDestination = Array.from(main.bytes(insertCount), (select) => select !== 0);
  const innerTuple = readInnerTuple(main);
  const leafTuples = inserted.map(() => readLeafTuple(main));
  return {
    kind: 'PICKSPLIT',
    isRootSplit,
    initializeSource,
    initializeDestination,
    offsetInner,
    initializeInner,
    storesNulls,
    innerIsParent,
    offsetParent,
    node,
    state,
    deleted,
    inserted,
    toDestination,
    innerTuple,
    leafTuples,
  };
}

function readVacuumLeaf(main: BodyReader): SpgistVacuumLeafBody {
  const deadCount = main.u16();
  const placeholderCount = main.u16();
  const moveCount = main.u16();
  const chainCount = main.u16();
  return {
    kind: 'VACUUM_LEAF',
    state: readState(main),
    dead: main.u16Array(deadCount),
    placeholders: main.u16Array(placeholderCount),
    moveSources: main.u16Array(moveCount),
    moveDestinations: main.u16Array(moveCount),
    chainSources: main.u16Array(chainCount),
    chainDestinations: main.u16Array(chainCount),
  };
}

function readVacuumRoot(main: BodyReader): SpgistVacuumRootBody {
  const deleteCount = main.u16();
  main.skip(2);
  return { kind: 'VACUUM_ROOT', state: readState(main), deleted: main.u16Array(deleteCount) };
}

function readVacuumRedirect(main: BodyReader): SpgistVacuumRedirectBody {
  const count = main.u16();
  const firstPlaceholder = main.u16();
  const snapshotConflictHorizon = main.u32();
  const isCatalogRelation = main.bool();
  main.skip(1);
  return {
    kind: 'VACUUM_REDIRECT',
    firstPlaceholder,
    snapshotConflictHorizon,
    isCatalogRelation,
    toPlaceholder: main.u16Array(count),
  };
}

function readBody(record: DecodedRecord, main: BodyReader): SpgistBody {
  switch (record.info & ~RECORD_INFO_MASK) {
    case XLOG_SPGIST_ADD_LEAF:
      return readAddLeaf(main);
    case XLOG_SPGIST_MOVE_LEAFS:
      return readMoveLeafs(main);
    case XLOG_SPGIST_ADD_NODE:
      return readAddNode(record, main);
    case XLOG_SPGIST_SPLIT_TUPLE:
      return readSplitTuple(main);
    case XLOG_SPGIST_PICKSPLIT:
      return readPickSplit(main);
    case XLOG_SPGIST_VACUUM_LEAF:
      return readVacuumLeaf(main);
    case XLOG_SPGIST_VACUUM_ROOT:
      return readVacuumRoot(main);
    case XLOG_SPGIST_VACUUM_REDIRECT:
      return readVacuumRedirect(main);
    default:
      return refuseKind('SPGist', record);
  }
}

/** SP-GiST (spgxlog.h, spgdesc.c). */
export const spgistResourceManager: ResourceManager<SpgistBody> = {
  id: RM_SPGIST,
  name: 'SPGist',
  kinds: [...KINDS.values()],
  kindName: (info) => findKindName(KINDS, info),
  decodeBody(record) {
    const main = BodyReader.mainData(record);
    const body = readBody(record, main);
    main.expectEnd();
    return body;
  },
};
