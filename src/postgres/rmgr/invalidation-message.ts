import type { RelationLocator } from '../files/relation-locator.ts';
import type { BodyReader } from './resource-manager.ts';

/** sizeof(SharedInvalidationMessage) (storage/sinval.h). */
export const INVALIDATION_MESSAGE_BYTES = 16;

/** Ids below zero; others are the number of a catalog cache. */
export const SHAREDINVALCATALOG_ID = -1;
export const SHAREDINVALRELCACHE_ID = -2;
export const SHAREDINVALSMGR_ID = -3;
export const SHAREDINVALRELMAP_ID = -4;
export const SHAREDINVALSNAPSHOT_ID = -5;

/** What backends have to forget. `database` is 0 for shared relations. */
export type InvalidationMessage =
  | { readonly kind: 'catcache'; readonly cache: number; readonly database: number; readonly hash: number }
  | { readonly kind: 'catalog'; readonly database: number; readonly catalog: number }
  | { readonly kind: 'relcache'; readonly database: number; readonly relation: number }
  | { readonly kind: 'smgr'; readonly relation: RelationLocator }
  | { readonly kind: 'relmap'; readonly database: number }
  | { readonly kind: 'snapshot'; readonly database: number; readonly relation: number }
  /** Replay of such a message ends a server (LocalExecuteInvalidationMessage). */
  | { readonly kind: 'unknown'; readonly id: number };

/** Reads the union's 16 bytes; those that a message does not use may hold anything. */
export function readInvalidationMessage(reader: BodyReader): InvalidationMessage {
  const id = (reader.u8() << 24) >> 24;
  reader.skip(3);
  const first = reader.u32();
  const second = reader.u32();
  const third = reader.u32();
  if (id >= 0) return { kind: 'catcache', cache: id, database: first, hash: second };
  switch (id) {
    case SHAREDINVALCATALOG_ID:
      return { kind: 'catalog', database: first, catalog: second };
    case SHAREDINVALRELCACHE_ID:
      return { kind: 'relcache', database: first, relation: second };
    case SHAREDINVALSMGR_ID:
      return { kind: 'smgr', relation: { tablespace: first, database: second, relation: third } };
    case SHAREDINVALRELMAP_ID:
      return { kind: 'relmap', database: first };
    case SHAREDINVALSNAPSHOT_ID:
      return { kind: 'snapshot', database: first, relation: second };
    default:
      return { kind: 'unknown', id };
  }
}
