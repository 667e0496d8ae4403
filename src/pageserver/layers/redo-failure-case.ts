import { VarveError } from '../../base/errors.ts';
import type { Files } from '../../io/files.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import { encodeRedoCase, type RedoCase, type RedoCaseRecord } from '../../redo/redo-case.ts';
import { formatKey, type Key } from '../keyspace/key.ts';
import { KIND_RELATION_BLOCK } from '../keyspace/keys.ts';
import type { FoundValues } from './found-values.ts';
import { VALUE_HINTS_LOGGED, VALUE_IMAGE, VALUE_KIND_MASK, VALUE_RECORD } from './value.ts';

/**
 * What was to be replayed on a page, for looking into a failure elsewhere: `varve wal redo-file` repeats it.
 * undefined: it is not a relation's block, or its values are not a base and records.
 */
export function findRedoCase(
  version: PostgresVersion,
  key: Key,
  found: FoundValues,
  note: string,
): RedoCase | undefined {
  if (key.kind !== KIND_RELATION_BLOCK || !found.isComplete) return undefined;
  let oldest = found.count - 1;
  let before = new Uint8Array(BLOCK_BYTES);
  if (kindOf(found, oldest) === VALUE_IMAGE) {
    before = copyValue(found, oldest);
    if (before.length !== BLOCK_BYTES) return undefined;
    oldest--;
  }
  const records: RedoCaseRecord[] = [];
  for (let index = oldest; index >= 0; index--) {
    if (kindOf(found, index) !== VALUE_RECORD) return undefined;
    // Where a record began is not stored, and nothing comes of it.
    const lsn = found.lsns[index] as number;
    records.push({ startLsn: lsn, endLsn: lsn, bytes: copyValue(found, index) });
  }
  return {
    postgresVersion: version,
    tablespace: key.field2,
    database: key.field3,
    relation: key.field4,
    fork: key.field5,
    block: key.index,
    hintBitsAreLogged: ((found.flags[0] as number) & VALUE_HINTS_LOGGED) !== 0,
    before,
    records,
    note,
  };
}

/**
 * Writes a case into a file of a directory that was made for them, named by the page and the newest record's LSN. A
 * case that is there already is left as it is. Nothing is synced: it is there for whoever looks, not for Varve.
 */
export async function writeRedoCase(
  files: Files,
  directory: string,
  key: Key,
  redoCase: RedoCase,
): Promise<string> {
  const newest = redoCase.records.at(-1)?.endLsn ?? 0;
  const path = `${directory}/redo-${formatKey(key)}-${newest.toString(16).toUpperCase().padStart(16, '0')}.json`;
  try {
    await files.create(path, new TextEncoder().encode(encodeRedoCase(redoCase)));
  } catch (error) {
    if (!(error instanceof VarveError && error.code === 'FILE_EXISTS')) throw error;
  }
  return path;
}

const kindOf = (found: FoundValues, index: number): number =>
  (found.flags[index] as number) & VALUE_KIND_MASK;

function copyValue(found: FoundValues, index: number): Uint8Array<ArrayBuffer> {
  const offset = found.offsets[index] as number;
  return (found.bytes[index] as Uint8Array).slice(
    offset,
    offset + (found.lengths[index] as number),
  ) as Uint8Array<ArrayBuffer>;
}
