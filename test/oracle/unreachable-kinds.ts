/** A record kind that no SQL statement of the corpus makes a server write, why, and what covers it instead. */
export interface UnreachableKind {
  readonly resourceManager: string;
  readonly kind: string;
  readonly reason: string;
  readonly coveredBy: string;
}

export const unreachableKinds: readonly UnreachableKind[] = [
  {
    resourceManager: 'XLOG',
    kind: 'NOOP',
    reason: 'nothing in the server writes it',
    coveredBy: 'a record of our own that a server replays: test/postgres/rare-records.test.ts',
  },
  {
    resourceManager: 'XLOG',
    kind: 'END_OF_RECOVERY',
    reason: 'written when a standby is promoted, which no statement of its own can be the cause of',
    coveredBy: 'a promoted server: test/postgres/rare-records.test.ts',
  },
  {
    resourceManager: 'Heap',
    kind: 'HOT_UPDATE+INIT',
    reason: 'a HOT update stays on its page, and so that page is never new',
    coveredBy: 'a hand-made record, which is refused: src/redo/heap-update.test.ts',
  },
  {
    resourceManager: 'Gist',
    kind: 'ASSIGN_LSN',
    reason: 'only written at wal_level minimal, and there for an index of the same transaction',
    coveredBy: 'a server at wal_level minimal: test/postgres/rare-records.test.ts',
  },
];
