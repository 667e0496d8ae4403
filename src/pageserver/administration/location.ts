import { BadRequestError } from '../../base/errors.ts';
import {
  ATTACHED_MODES,
  type AttachedMode,
  type LocationConfig,
} from '../../contracts/pageserver-api-config.ts';
import { isWholeTenant, type TenantShardId } from '../../contracts/tenant-shard-id.ts';

/**
 * Refuses what this pageserver cannot be to a tenant: one of several, or one shard of it.
 * @throws BadRequestError BAD_LOCATION, MODE_NOT_SUPPORTED, SHARDING_NOT_SUPPORTED
 */
export function checkLocation(shard: TenantShardId, location: LocationConfig): void {
  const { mode, shard_number, shard_count, secondary_conf } = location;
  const isNamed = shard_number !== 0 || shard_count !== 0;
  if (isNamed && (shard_number !== shard.shardNumber || shard_count !== shard.shardCount)) {
    throw new BadRequestError('BAD_LOCATION', 'the shard of the body is not that of the path');
  }
  if (mode === 'Detached') return;
  if (!isWholeTenant(shard)) {
    throw new BadRequestError('SHARDING_NOT_SUPPORTED', 'this pageserver takes whole tenants only');
  }
  attachedMode(location);
  if (secondary_conf !== null && secondary_conf !== undefined) {
    throw new BadRequestError('BAD_LOCATION', 'secondary_conf is for the mode Secondary only');
  }
}

/** @throws BadRequestError MODE_NOT_SUPPORTED */
export function attachedMode({ mode }: LocationConfig): AttachedMode {
  const found = ATTACHED_MODES.find((known) => known === mode);
  if (found !== undefined) return found;
  throw new BadRequestError(
    'MODE_NOT_SUPPORTED',
    `tenants of this pageserver are ${ATTACHED_MODES.join(', ')}, and not ${mode}`,
  );
}
