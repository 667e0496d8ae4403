/** The header of a WAL record and the fragment headers after it (xlogrecord.h). All little-endian. */

/** total length 4 + xid 4 + previous record 8 + info 1 + resource manager 1 + padding 2 + CRC 4. */
export const RECORD_HEADER_BYTES: number = 4 + 4 + 8 + 1 + 1 + 2 + 4;
export const RECORD_TOTAL_LENGTH = 0;
export const RECORD_XID = 4;
export const RECORD_PREVIOUS = 8;
export const RECORD_INFO = 16;
export const RECORD_RESOURCE_MANAGER = 17;
export const RECORD_CRC = 20;

/** XLogRecordMaxSize: PostgreSQL writes no longer record. */
export const RECORD_BYTES_MAX: number = 1020 * 1024 * 1024;

/** XLR_INFO_MASK: low bits of the info byte belong to the WAL machinery, the high four to the resource manager. */
export const RECORD_INFO_MASK = 0x0f;
/** XLR_SPECIAL_REL_UPDATE: the record changes files in ways that its block references do not show. */
export const RECORD_SPECIAL_RELATION_UPDATE = 0x01;
/** XLR_CHECK_CONSISTENCY: the record's images (those not to be applied) show what replay must give. */
export const RECORD_CHECK_CONSISTENCY = 0x02;

/** XLR_MAX_BLOCK_ID. */
export const BLOCK_ID_MAX = 32;
export const BLOCK_ID_TOP_LEVEL_XID = 252;
export const BLOCK_ID_ORIGIN = 253;
export const BLOCK_ID_DATA_LONG = 254;
export const BLOCK_ID_DATA_SHORT = 255;

/** fork_flags of a block header. */
export const BLOCK_FORK_MASK = 0x0f;
export const BLOCK_HAS_IMAGE = 0x10;
export const BLOCK_HAS_DATA = 0x20;
export const BLOCK_WILL_INIT = 0x40;
export const BLOCK_SAME_RELATION = 0x80;

/** BLCKSZ. */
export const BLOCK_BYTES = 8192;

/** Forks of a relation (relpath.h: ForkNumber). */
export const FORK_MAIN = 0;
export const FORK_FREE_SPACE_MAP = 1;
export const FORK_VISIBILITY_MAP = 2;
export const FORK_INIT = 3;
