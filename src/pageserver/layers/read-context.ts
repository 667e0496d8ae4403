/** On whose behalf something is read, for metrics and for what may wait. */
export type TaskKind =
  | 'page-request'
  | 'base-backup'
  | 'ingest'
  | 'compaction'
  | 'garbage-collection'
  | 'administration';

export const TASK_KINDS: readonly TaskKind[] = [
  'page-request',
  'base-backup',
  'ingest',
  'compaction',
  'garbage-collection',
  'administration',
];

/** Goes with every read, down to the file. */
export interface ReadContext {
  readonly task: TaskKind;
  /** Waiting ends with it, by a VarveError of kind `cancelled`. I/O that is under way is awaited all the same. */
  readonly signal: AbortSignal;
}
