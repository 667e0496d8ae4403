import { z } from 'zod';
import { BadRequestError } from '../base/errors.ts';
import { parseTenantId, type TenantId } from '../base/ids.ts';
import { textCodec } from './api-values.ts';

declare const shardBrand: unique symbol;

/**
 * A tenant's part on one pageserver: `TENANT` where the tenant is not sharded, else `TENANT-NNCC`, NN being the shard's
 * number and CC the count of shards, in hexadecimal. A type of its own, which no tenant id can be taken for.
 */
export interface TenantShardId {
  readonly tenantId: TenantId;
  /** Below the count. */
  readonly shardNumber: number;
  /** 0: the tenant is not sharded. */
  readonly shardCount: number;
  readonly [shardBrand]: true;
}

function makeShardId(tenantId: TenantId, shardNumber: number, shardCount: number): TenantShardId {
  return { tenantId, shardNumber, shardCount } as TenantShardId;
}

/** The whole of a tenant that is not sharded. */
export const wholeTenant = (tenantId: TenantId): TenantShardId => makeShardId(tenantId, 0, 0);

export const isWholeTenant = ({ shardCount }: TenantShardId): boolean => shardCount === 0;

/** @throws BadRequestError BAD_ID */
export function parseTenantShardId(text: string): TenantShardId {
  const match = /^([0-9A-Fa-f]{32})(?:-([0-9A-Fa-f]{2})([0-9A-Fa-f]{2}))?$/.exec(text);
  const [, tenant, number, count] = match ?? [];
  if (tenant === undefined) {
    throw new BadRequestError(
      'BAD_ID',
      `"${text}" is no tenant shard id: 32 hexadecimal digits are, or with -NNCC behind them`,
    );
  }
  if (number === undefined || count === undefined) return wholeTenant(parseTenantId(tenant));
  const shardNumber = Number.parseInt(number, 16);
  const shardCount = Number.parseInt(count, 16);
  if (shardNumber >= shardCount) {
    throw new BadRequestError('BAD_ID', `"${text}" is no tenant shard id: there is no such shard`);
  }
  return makeShardId(parseTenantId(tenant), shardNumber, shardCount);
}

export function formatTenantShardId({ tenantId, shardNumber, shardCount }: TenantShardId): string {
  if (shardCount === 0) return tenantId;
  const hex = (value: number): string => value.toString(16).padStart(2, '0');
  return `${tenantId}-${hex(shardNumber)}${hex(shardCount)}`;
}

export const tenantShardIdSchema = textCodec<TenantShardId>(
  parseTenantShardId,
  formatTenantShardId,
  (value) => typeof value === 'object' && value !== null,
).meta({
  id: 'TenantShardId',
  type: 'string',
  pattern: '^[0-9a-f]{32}(-[0-9a-f]{4})?$',
});

/** What the paths of a tenant's routes name. */
export const shardParamsSchema = z.object({ tenant_shard_id: tenantShardIdSchema });
