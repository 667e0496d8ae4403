import { crc32c } from '../../base/crc32c.ts';
import { CorruptionError } from '../../base/errors.ts';
import { type Lsn, readLsn } from '../../base/lsn.ts';

/** PG_REPLSLOT_DIR: a directory for each slot, with this file in it. */
export const REPLICATION_SLOT_DIRECTORY = 'pg_replslot';
export const REPLICATION_SLOT_STATE_FILE = 'state';

/** SLOT_MAGIC and SLOT_VERSION of 17 (slot.c). */
const SLOT_MAGIC = 0x1051ca1;
const SLOT_VERSION = 5;
/** sizeof(ReplicationSlotOnDisk) of 17. */
export const REPLICATION_SLOT_BYTES = 200;
/** Where version and length begin: from here on the CRC covers. */
const CHECKSUMMED = 8;
/** ReplicationSlotPersistentData begins. */
const NAME = 16;
const NAME_BYTES = 64;
const DATABASE = 80;
const PERSISTENCY = 84;
const RESTART_LSN = 96;
const INVALIDATED = 104;
const CONFIRMED_FLUSH = 112;
/** RS_PERSISTENT: others do not outlive the server. */
const PERSISTENT = 0;

export interface ReplicationSlotState {
  readonly name: string;
  readonly isLogical: boolean;
  readonly isPersistent: boolean;
  /** It lost what it needs, and stays useless. */
  readonly isInvalidated: boolean;
  /** WAL from here on is needed; 0 if none has been kept for it yet. */
  readonly restartLsn: Lsn;
  readonly confirmedFlushLsn: Lsn;
}

function fail(file: string, reason: string): never {
  throw new CorruptionError('BAD_REPLICATION_SLOT', `the state of a replication slot ${reason}`, { file });
}

/**
 * Decodes pg_replslot/<name>/state. A server panics at its start over one that is wrong (RestoreSlotFromDisk).
 * @throws CorruptionError for a wrong length, magic number, version or CRC
 */
export function decodeReplicationSlot(bytes: Uint8Array, file: string): ReplicationSlotState {
  if (bytes.length !== REPLICATION_SLOT_BYTES) fail(file, `has ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, true) !== SLOT_MAGIC) fail(file, 'has a wrong magic number');
  if (view.getUint32(8, true) !== SLOT_VERSION) fail(file, 'has an unknown version');
  if (view.getUint32(12, true) !== REPLICATION_SLOT_BYTES - NAME) fail(file, 'has a wrong length');
  if (view.getUint32(4, true) !== crc32c(bytes, CHECKSUMMED)) fail(file, 'has a wrong CRC');
  const name = bytes.subarray(NAME, NAME + NAME_BYTES);
  const end = name.indexOf(0);
  if (end <= 0) fail(file, 'has no name');
  return {
    name: new TextDecoder().decode(name.subarray(0, end)),
    isLogical: view.getUint32(DATABASE, true) !== 0,
    isPersistent: view.getInt32(PERSISTENCY, true) === PERSISTENT,
    isInvalidated: view.getInt32(INVALIDATED, true) !== 0,
    restartLsn: readLsn(view, RESTART_LSN),
    confirmedFlushLsn: readLsn(view, CONFIRMED_FLUSH),
  };
}
