import { createHash } from 'node:crypto';
import { BadRequestError, VarveError } from '../base/errors.ts';
import type { Change, Database } from './database/database.ts';
import type { Started } from './database/tables.ts';

const KEY = /^[\x21-\x7e]{1,128}$/;

/** A request that its sender may send again, not knowing what came of it. */
export interface RepeatableRequest {
  readonly key: string;
  readonly requestHash: string;
}

/** @param key the header. @throws BadRequestError BAD_IDEMPOTENCY_KEY */
export function repeatableRequest(
  key: string,
  method: string,
  path: string,
  body: unknown,
): RepeatableRequest {
  if (!KEY.test(key)) {
    throw new BadRequestError(
      'BAD_IDEMPOTENCY_KEY',
      'an idempotency key has 1 to 128 printable ASCII characters without spaces',
    );
  }
  const requestHash = createHash('sha256')
    .update(JSON.stringify([method, path, body]))
    .digest('hex');
  return { key, requestHash };
}

/**
 * What an earlier request of this key has begun; undefined: there was none, or nothing came of it.
 * @throws VarveError ‘conflict’ / IDEMPOTENCY_KEY_REUSED
 */
export async function findStarted(
  database: Database,
  { key, requestHash }: RepeatableRequest,
): Promise<Started | undefined> {
  const row = await database.query((queries) =>
    queries.selectFrom('idempotency').selectAll().where('key', '=', key).executeTakeFirst(),
  );
  if (row === undefined) return undefined;
  if (row.request_hash === requestHash) return row.started;
  throw new VarveError(
    'conflict',
    'IDEMPOTENCY_KEY_REUSED',
    'another request was sent with this idempotency key: take a new one for each',
  );
}

/** Writes down what a request begins, in the transaction that begins it. */
export async function noteStarted(
  change: Change,
  request: RepeatableRequest | undefined,
  started: Started,
): Promise<void> {
  if (request === undefined) return;
  await change
    .insertInto('idempotency')
    .values({ key: request.key, request_hash: request.requestHash, started: JSON.stringify(started) })
    .execute();
}
