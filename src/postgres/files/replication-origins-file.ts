import { crc32c } from '../../base/crc32c.ts';
import { type Lsn, writeLsn } from '../../base/lsn.ts';

/** PG_REPLORIGIN_CHECKPOINT_FILENAME (origin.h), relative to the data directory. */
export const REPLICATION_ORIGINS_PATH = 'pg_logical/replorigin_checkpoint';

/** REPLICATION_STATE_MAGIC (origin.c). */
const MAGIC = 0x1257dade;
/** ReplicationStateOnDisk: origin 2, padding 6, remote LSN 8. */
const ENTRY_BYTES = 16;

export interface OriginPosition {
  readonly origin: number;
  /** How far its changes have been taken in, as a position of the other server. */
  readonly remoteLsn: Lsn;
}

/** The whole file, as CheckPointReplicationOrigin writes it (origin.c): magic number, an entry each, CRC of all before. */
export function encodeReplicationOrigins(origins: readonly OriginPosition[]): Uint8Array {
  const end = 4 + origins.length * ENTRY_BYTES;
  const bytes = new Uint8Array(end + 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  for (const [index, { origin, remoteLsn }] of origins.entries()) {
    view.setUint16(4 + index * ENTRY_BYTES, origin, true);
    writeLsn(view, 4 + index * ENTRY_BYTES + 8, remoteLsn);
  }
  view.setUint32(end, crc32c(bytes, 0, end), true);
  return bytes;
}
