import { auxiliaryFileKey } from '../keyspace/auxiliary-file.ts';
import type { KeyRange } from '../keyspace/key-range.ts';

/** All keys of auxiliary files that lie in one directory. @param path of any file in it */
function directoryOf(path: string): KeyRange {
  const { kind, field2 } = auxiliaryFileKey(path);
  const none = { field3: 0, field4: 0, field5: 0, index: 0 };
  return { start: { kind, field2, ...none }, end: { kind, field2: field2 + 1, ...none } };
}

export const AUXILIARY_SLOTS: KeyRange = directoryOf('pg_replslot/any/state');
export const AUXILIARY_MAPPINGS: KeyRange = directoryOf('pg_logical/mappings/any');
export const AUXILIARY_SNAPSHOTS: KeyRange = directoryOf('pg_logical/snapshots/any');
/** Any other path, such as those of free space maps. */
export const AUXILIARY_OTHERS: KeyRange = directoryOf('any');
export const AUXILIARY_STATISTICS: KeyRange = directoryOf('pg_stat/any');
