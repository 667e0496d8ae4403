/** Record kinds of GIN indexes and the layouts of their data (access/ginxlog.h). */
import { GIN_META_DATA_BYTES, POSTING_ITEM_BYTES } from '../page/gin-page.ts';

export const XLOG_GIN_CREATE_PTREE = 0x10;
export const XLOG_GIN_INSERT = 0x20;
export const XLOG_GIN_SPLIT = 0x30;
export const XLOG_GIN_VACUUM_PAGE = 0x40;
export const XLOG_GIN_DELETE_PAGE = 0x50;
export const XLOG_GIN_UPDATE_META_PAGE = 0x60;
export const XLOG_GIN_INSERT_LISTPAGE = 0x70;
export const XLOG_GIN_DELETE_LISTPAGE = 0x80;
export const XLOG_GIN_VACUUM_DATA_LEAF_PAGE = 0x90;

/** ginxlogCreatePostingTree, then `size` bytes of segments. Block 0: the new root. */
export const GIN_CREATE_PTREE_SIZE = 0;
export const GIN_CREATE_PTREE_BYTES = 4;

/**
 * ginxlogInsert: flags; unless the page is a leaf, then the blocks of the left and the right child (BlockIdData, two
 * half-words each). Blocks: 0 the page, 1 the left child.
 */
export const GIN_INSERT_FLAGS = 0;
export const GIN_INSERT_BYTES = 2;
export const GIN_INSERT_LEFT_CHILD: number = GIN_INSERT_BYTES;
export const GIN_INSERT_RIGHT_CHILD: number = GIN_INSERT_LEFT_CHILD + 4;
export const GIN_INSERT_CHILDREN_BYTES: number = GIN_INSERT_RIGHT_CHILD + 4;

/** Flags of ginxlogInsert and ginxlogSplit; the last one is only for splits. */
export const GIN_INSERT_ISDATA = 0x01;
export const GIN_INSERT_ISLEAF = 0x02;
export const GIN_SPLIT_ROOT = 0x04;
export const GIN_INSERT_VALID_FLAGS: number = GIN_INSERT_ISDATA | GIN_INSERT_ISLEAF;
export const GIN_SPLIT_VALID_FLAGS: number = GIN_INSERT_VALID_FLAGS | GIN_SPLIT_ROOT;

/** ginxlogInsertEntry, data of block 0 for a page of the entry tree: a byte of padding comes before the tuple. */
export const GIN_INSERT_ENTRY_OFFSET = 0;
export const GIN_INSERT_ENTRY_IS_DELETE = 2;
export const GIN_INSERT_ENTRY_TUPLE = 4;

/** ginxlogInsertDataInternal, data of block 0 for an inner page of a posting tree. */
export const GIN_INSERT_INTERNAL_OFFSET = 0;
export const GIN_INSERT_INTERNAL_ITEM = 2;
export const GIN_INSERT_INTERNAL_BYTES: number = GIN_INSERT_INTERNAL_ITEM + POSTING_ITEM_BYTES;

/**
 * ginxlogRecompressDataLeaf, data of block 0 for a leaf of a posting tree: nactions, then the actions one after
 * another: number of the segment, type, and what belongs to the type.
 */
export const GIN_RECOMPRESS_ACTION_COUNT = 0;
export const GIN_RECOMPRESS_BYTES = 2;
export const GIN_SEGMENT_NUMBER = 0;
export const GIN_SEGMENT_TYPE = 1;
export const GIN_SEGMENT_HEADER_BYTES = 2;
/** Types of actions. INSERT and REPLACE bring a segment, ADDITEMS a half-word's count and so many item pointers. */
export const GIN_SEGMENT_UNMODIFIED = 0;
export const GIN_SEGMENT_DELETE = 1;
export const GIN_SEGMENT_INSERT = 2;
export const GIN_SEGMENT_REPLACE = 3;
export const GIN_SEGMENT_ADDITEMS = 4;

/**
 * ginxlogSplit, with two bytes of padding. Blocks, of which 0 to 2 are restored from images: 0 left page, 1 right
 * page, 2 root if that is split, 3 the left child unless the pages are leaves.
 */
export const GIN_SPLIT_RELATION = 0;
export const GIN_SPLIT_RIGHT_LINK = 12;
export const GIN_SPLIT_LEFT_CHILD = 16;
export const GIN_SPLIT_RIGHT_CHILD = 20;
export const GIN_SPLIT_FLAGS = 24;
export const GIN_SPLIT_BYTES = 28;

/** ginxlogDeletePage, padded after parentOffset. Blocks: 0 the deleted page, 1 its parent, 2 its left sibling. */
export const GIN_DELETE_PAGE_PARENT_OFFSET = 0;
export const GIN_DELETE_PAGE_RIGHT_LINK = 4;
export const GIN_DELETE_PAGE_XID = 8;
export const GIN_DELETE_PAGE_BYTES = 12;

/**
 * ginxlogUpdateMeta, eight-aligned, so padded before the metadata and at the end. Blocks: 0 meta page, 1 the list's
 * tail, whose data are `ntuples` index tuples.
 */
export const GIN_UPDATE_META_RELATION = 0;
export const GIN_UPDATE_META_METADATA = 16;
export const GIN_UPDATE_META_PREVIOUS_TAIL: number = GIN_UPDATE_META_METADATA + GIN_META_DATA_BYTES;
export const GIN_UPDATE_META_NEW_RIGHT_LINK: number = GIN_UPDATE_META_PREVIOUS_TAIL + 4;
export const GIN_UPDATE_META_TUPLE_COUNT: number = GIN_UPDATE_META_PREVIOUS_TAIL + 8;
export const GIN_UPDATE_META_BYTES: number = GIN_UPDATE_META_PREVIOUS_TAIL + 16;

/** ginxlogInsertListPage. Block 0: the list page, whose data are `ntuples` index tuples. */
export const GIN_INSERT_LISTPAGE_RIGHT_LINK = 0;
export const GIN_INSERT_LISTPAGE_TUPLE_COUNT = 4;
export const GIN_INSERT_LISTPAGE_BYTES = 8;

/** ginxlogDeleteListPages, eight-aligned. Blocks: 0 meta page, 1 to `ndeleted` the deleted pages. */
export const GIN_DELETE_LISTPAGE_METADATA = 0;
export const GIN_DELETE_LISTPAGE_COUNT: number = GIN_META_DATA_BYTES;
export const GIN_DELETE_LISTPAGE_BYTES: number = GIN_META_DATA_BYTES + 8;
