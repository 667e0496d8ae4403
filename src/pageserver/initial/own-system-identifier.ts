import { crc32c } from '../../base/crc32c.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';

const MS_SHIFT = 22n;
const MARK_BITS = 22;

interface Name {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
}

/**
 * The system identifier of the cluster that a timeline begins as. As initdb does it (xlog.c, BootStrapXLOG), the upper half
 * is the time in seconds, and the lower one has what is left of it, here milliseconds. The other bits are a mark of the
 * timeline and the time: by it a timeline that is asked for once more is told from one that came about in another way,
 * such as by an import.
 */
export function ownSystemIdentifier(name: Name, wallMs: number): bigint {
  const ms = Math.floor(wallMs);
  const time = (BigInt(Math.floor(ms / 1000)) << 32n) | (BigInt(ms % 1000) << MS_SHIFT);
  return BigInt.asUintN(64, time | BigInt(markOf(name, BigInt.asUintN(64, time))));
}

/** Whether a cluster with this identifier was made for the timeline. Of others, one in four million looks so. */
export function isOwnSystemIdentifier(name: Name, identifier: bigint): boolean {
  const time = (identifier >> MS_SHIFT) << MS_SHIFT;
  return identifier === (time | BigInt(markOf(name, time)));
}

function markOf({ tenantId, timelineId }: Name, time: bigint): number {
  return crc32c(new TextEncoder().encode(`${tenantId}/${timelineId}/${time}`)) >>> (32 - MARK_BITS);
}
