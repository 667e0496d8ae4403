import { CorruptionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import {
  decodeReplicationSlot,
  REPLICATION_SLOT_DIRECTORY,
  REPLICATION_SLOT_STATE_FILE,
} from '../../postgres/files/replication-slot-file.ts';
import type { AuxiliaryFile } from '../keyspace/auxiliary-file.ts';

/** ReplicationSlotValidateName (slot.c). */
const SLOT_NAME = /^[a-z0-9_]{1,63}$/;

/** Which slot an auxiliary file is the state of; undefined for any other file. */
export function slotOfPath(path: string): string | undefined {
  const [directory, name, file, ...rest] = path.split('/');
  if (directory !== REPLICATION_SLOT_DIRECTORY || file !== REPLICATION_SLOT_STATE_FILE || rest.length > 0) {
    return undefined;
  }
  return name !== undefined && SLOT_NAME.test(name) ? name : undefined;
}

/**
 * From where on a server that gets this slot needs WAL; undefined where it is not to get it. Physical slots are made
 * anew by whoever needs them. A slot that would keep the server from starting, or whose positions lie ahead of the WAL,
 * is left out.
 */
export function walNeededBySlot({ path, content }: AuxiliaryFile, recordEndLsn: Lsn): Lsn | undefined {
  const name = slotOfPath(path);
  if (name === undefined) return undefined;
  try {
    const slot = decodeReplicationSlot(content, path);
    const isUsable = slot.name === name && slot.isLogical && slot.isPersistent && !slot.isInvalidated;
    if (!isUsable || slot.restartLsn === 0) return undefined;
    return slot.restartLsn > recordEndLsn || slot.confirmedFlushLsn > recordEndLsn
      ? undefined
      : slot.restartLsn;
  } catch (error) {
    // A user of the database can have put anything there. It must not keep the cluster from starting.
    if (error instanceof CorruptionError) return undefined;
    throw error;
  }
}
