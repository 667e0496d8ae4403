import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readLsn } from '../../src/base/lsn.ts';

/** origin.c, ReplicationStateOnDisk: origin 2, padding 6, remote LSN 8; magic number 4 before all, CRC 4 after all. */
const ENTRY_BYTES = 2 + 6 + 8;
const MAGIC_BYTES = 4;
const CRC_BYTES = 4;

/** Compares replication origins with the checkpoint file that the server wrote when it stopped. */
export function compareOrigins(
  ours: ReadonlyMap<number, { remoteLsn: number }>,
  directory: string,
): string[] {
  const path = join(directory, 'pg_logical/replorigin_checkpoint');
  const theirs = new Map<number, number>();
  if (existsSync(path)) {
    const bytes = readFileSync(path);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = MAGIC_BYTES; at + ENTRY_BYTES + CRC_BYTES <= bytes.length; at += ENTRY_BYTES) {
      theirs.set(view.getUint16(at, true), readLsn(view, at + 8));
    }
  }
  const differences: string[] = [];
  for (const origin of new Set([...ours.keys(), ...theirs.keys()])) {
    const left = ours.get(origin)?.remoteLsn;
    const right = theirs.get(origin);
    if (left !== right)
      differences.push(`replication origin ${origin}: replay has ${left}, the server ${right}`);
  }
  return differences;
}
