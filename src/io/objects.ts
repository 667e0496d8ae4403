/**
 * The door to object storage: whole objects under keys of `/`-separated names. Errors are VarveErrors:
 *
 * - `not-found` / OBJECT_NOT_FOUND
 * - `precondition` / OBJECT_EXISTS: a conditional write found one already
 * - `unavailable` / OBJECT_STORE: the store, the network or the disk fails; try again later
 * - `bad-request` / BAD_OBJECT_KEY, BAD_OBJECT_RANGE, BAD_OBJECT_BODY: this can never work. No key has names that are
 *   empty, `.` or `..`, control characters or too many bytes (see object-key.ts), and no key may go on where another
 *   one ends: where there is `a/b`, a store may refuse `a` and `a/b/c`
 * - `precondition` / OBJECT_STORE_DENIED: whoever runs Varve has to allow or to correct something
 * - `cancelled` / CANCELLED: the signal was given. What was to be written may be there, whole, or not
 *
 * What failed in a passing way has been tried again, for a while, before it is `unavailable`.
 */
export interface ObjectStore {
  /** For logs and status: such as `s3://bucket/prefix`, without secrets. */
  readonly description: string;
  /**
   * On return the object is durable, and every later `get` and `list` sees it, in place of what was there. It is there
   * whole or not at all, also when several are written under one key at once. What `pieces` throws is thrown as it is.
   */
  put(key: string, body: ObjectBody, options: PutOptions): Promise<void>;
  /** Reads an object whole, or from `start` (inclusive) to `end` (exclusive); both are cut at its size. */
  get(key: string, options: GetOptions): Promise<Uint8Array>;
  /**
   * As `get`, piece by piece: what is not asked for does not use memory. All pieces are of one object, even where it is
   * replaced meanwhile: if that cannot be, it fails with OBJECT_STORE.
   */
  getStream(key: string, options: GetOptions): AsyncIterable<Uint8Array>;
  /** undefined where there is none. */
  head(key: string, signal: AbortSignal): Promise<ObjectStatus | undefined>;
  /** All objects whose key begins with `prefix`, in order of their keys' UTF-8 bytes. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<ObjectStatus>;
  /** Removes objects. Those that are not there are passed over. */
  remove(keys: readonly string[], signal: AbortSignal): Promise<void>;
  /** Lets go of connections, when nothing is under way any more. May be called again. */
  close(): void;
}

/**
 * Bytes, which must not change meanwhile; or pieces whose lengths add up to `sizeBytes`, made anew at each try, each good
 * until the next one is asked for.
 */
export type ObjectBody =
  | Uint8Array
  | { readonly sizeBytes: number; readonly pieces: () => AsyncIterable<Uint8Array> };

export interface PutOptions {
  readonly signal: AbortSignal;
  /** Refuse with OBJECT_EXISTS where the key is taken. Of several at once, one succeeds. */
  readonly onlyIfAbsent?: boolean;
}

export interface GetOptions {
  readonly signal: AbortSignal;
  readonly start?: number;
  readonly end?: number;
}

export interface ObjectStatus {
  readonly key: string;
  readonly sizeBytes: number;
  /** Milliseconds since 1970-01-01 UTC, by the store's clock. */
  readonly modifiedMs: number;
}
