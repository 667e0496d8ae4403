/**
 * Record kinds of SP-GiST indexes and the layouts of their main data (access/spgxlog.h). Arrays and tuples after the
 * fixed parts are not aligned.
 */

export const XLOG_SPGIST_ADD_LEAF = 0x10;
export const XLOG_SPGIST_MOVE_LEAFS = 0x20;
export const XLOG_SPGIST_ADD_NODE = 0x30;
export const XLOG_SPGIST_SPLIT_TUPLE = 0x40;
export const XLOG_SPGIST_PICKSPLIT = 0x50;
export const XLOG_SPGIST_VACUUM_LEAF = 0x60;
export const XLOG_SPGIST_VACUUM_ROOT = 0x70;
export const XLOG_SPGIST_VACUUM_REDIRECT = 0x80;

/** spgxlogState, four-aligned: three bytes of padding at its end. */
export const SPGIST_STATE_REDIRECT_XID = 0;
export const SPGIST_STATE_IS_BUILD = 4;
export const SPGIST_STATE_BYTES = 8;

/** spgxlogAddLeaf, then the leaf tuple. Blocks: 0 the leaf's page, 1 the parent's. */
export const SPGIST_ADD_LEAF_NEW_PAGE = 0;
export const SPGIST_ADD_LEAF_STORES_NULLS = 1;
export const SPGIST_ADD_LEAF_OFFSET_LEAF = 2;
export const SPGIST_ADD_LEAF_OFFSET_HEAD = 4;
export const SPGIST_ADD_LEAF_OFFSET_PARENT = 6;
export const SPGIST_ADD_LEAF_NODE = 8;
export const SPGIST_ADD_LEAF_BYTES = 10;

/**
 * spgxlogMoveLeafs, then nMoves numbers of deleted lines, nMoves + 1 (if replaceDead, 1) numbers of inserted lines, and
 * as many leaf tuples. Blocks: 0 source, 1 destination, 2 parent.
 */
export const SPGIST_MOVE_LEAFS_COUNT = 0;
export const SPGIST_MOVE_LEAFS_NEW_PAGE = 2;
export const SPGIST_MOVE_LEAFS_REPLACE_DEAD = 3;
export const SPGIST_MOVE_LEAFS_STORES_NULLS = 4;
export const SPGIST_MOVE_LEAFS_OFFSET_PARENT = 6;
export const SPGIST_MOVE_LEAFS_NODE = 8;
export const SPGIST_MOVE_LEAFS_STATE = 12;
export const SPGIST_MOVE_LEAFS_BYTES: number = SPGIST_MOVE_LEAFS_STATE + SPGIST_STATE_BYTES;

/** spgxlogAddNode, then the inner tuple. Blocks: 0 old page, 1 new page if another, 2 parent's page if a third. */
export const SPGIST_ADD_NODE_OFFSET = 0;
export const SPGIST_ADD_NODE_OFFSET_NEW = 2;
export const SPGIST_ADD_NODE_NEW_PAGE = 4;
export const SPGIST_ADD_NODE_PARENT_BLOCK = 5;
export const SPGIST_ADD_NODE_OFFSET_PARENT = 6;
export const SPGIST_ADD_NODE_NODE = 8;
export const SPGIST_ADD_NODE_STATE = 12;
export const SPGIST_ADD_NODE_BYTES: number = SPGIST_ADD_NODE_STATE + SPGIST_STATE_BYTES;
/** Values of parentBlk: the block reference of the parent's page, or that the parent stays as it is. */
export const SPGIST_ADD_NODE_PARENT_NONE = -1;
export const SPGIST_ADD_NODE_PARENT_MAX = 2;

/** spgxlogSplitTuple, then the prefix tuple and the postfix tuple. Blocks: 0 prefix, 1 postfix if on another page. */
export const SPGIST_SPLIT_TUPLE_OFFSET_PREFIX = 0;
export const SPGIST_SPLIT_TUPLE_OFFSET_POSTFIX = 2;
export const SPGIST_SPLIT_TUPLE_NEW_PAGE = 4;
export const SPGIST_SPLIT_TUPLE_POSTFIX_SAME = 5;
export const SPGIST_SPLIT_TUPLE_BYTES = 6;

/**
 * spgxlogPickSplit, then nDelete numbers of deleted lines, nInsert numbers of inserted lines, nInsert bytes that choose
 * the page (0 source, else destination), the inner tuple, and nInsert leaf tuples. Blocks: 0 source unless it is the
 * root, 1 destination if used, 2 inner tuple's page, 3 parent's page if another.
 */
export const SPGIST_PICK_SPLIT_IS_ROOT_SPLIT = 0;
export const SPGIST_PICK_SPLIT_DELETE_COUNT = 2;
export const SPGIST_PICK_SPLIT_INSERT_COUNT = 4;
export const SPGIST_PICK_SPLIT_INIT_SOURCE = 6;
export const SPGIST_PICK_SPLIT_INIT_DESTINATION = 7;
export const SPGIST_PICK_SPLIT_OFFSET_INNER = 8;
export const SPGIST_PICK_SPLIT_INIT_INNER = 10;
export const SPGIST_PICK_SPLIT_STORES_NULLS = 11;
export const SPGIST_PICK_SPLIT_INNER_IS_PARENT = 12;
export const SPGIST_PICK_SPLIT_OFFSET_PARENT = 14;
export const SPGIST_PICK_SPLIT_NODE = 16;
export const SPGIST_PICK_SPLIT_STATE = 20;
export const SPGIST_PICK_SPLIT_BYTES: number = SPGIST_PICK_SPLIT_STATE + SPGIST_STATE_BYTES;

/** spgxlogVacuumLeaf, then its six arrays of offset numbers: dead, placeholder, move from, move to, chain, next. */
export const SPGIST_VACUUM_LEAF_DEAD_COUNT = 0;
export const SPGIST_VACUUM_LEAF_PLACEHOLDER_COUNT = 2;
export const SPGIST_VACUUM_LEAF_MOVE_COUNT = 4;
export const SPGIST_VACUUM_LEAF_CHAIN_COUNT = 6;
export const SPGIST_VACUUM_LEAF_STATE = 8;
export const SPGIST_VACUUM_LEAF_BYTES: number = SPGIST_VACUUM_LEAF_STATE + SPGIST_STATE_BYTES;

/** spgxlogVacuumRoot, then nDelete offset numbers. */
export const SPGIST_VACUUM_ROOT_DELETE_COUNT = 0;
export const SPGIST_VACUUM_ROOT_STATE = 4;
export const SPGIST_VACUUM_ROOT_BYTES: number = SPGIST_VACUUM_ROOT_STATE + SPGIST_STATE_BYTES;

/** spgxlogVacuumRedirect, then nToPlaceholder offset numbers after a byte of padding. */
export const SPGIST_VACUUM_REDIRECT_COUNT = 0;
export const SPGIST_VACUUM_REDIRECT_FIRST_PLACEHOLDER = 2;
export const SPGIST_VACUUM_REDIRECT_CONFLICT_HORIZON = 4;
export const SPGIST_VACUUM_REDIRECT_IS_CATALOG = 8;
export const SPGIST_VACUUM_REDIRECT_BYTES = 10;
