import type { BodyReader } from './resource-manager.ts';

/** xl_xact_stats_item (access/xact.h): a statistics entry that goes with the transaction. */
export interface TransactionStatsItem {
  /** PgStat_Kind. */
  readonly statsKind: number;
  readonly database: number;
  /** An OID up to 17, 64 bits wide since 18. */
  readonly object: bigint;
}

/** `itemBytes`: transactionStatsItemBytes of the version. */
export function readTransactionStatsItem(reader: BodyReader, itemBytes: number): TransactionStatsItem {
  const statsKind = reader.i32();
  const database = reader.u32();
  return { statsKind, database, object: itemBytes === 16 ? reader.u64() : BigInt(reader.u32()) };
}
