import { VarveError } from '../../base/errors.ts';
import type { TenantId } from '../../base/ids.ts';
import type { AttachedMode } from '../../contracts/pageserver-api-config.ts';

/** Whether anything of the tenant may be put into the store. */
export const mayUpload = (mode: AttachedMode): boolean => mode !== 'AttachedStale';

/** Whether anything of the tenant may be removed from the store. */
export const mayRemove = (mode: AttachedMode): boolean => mode === 'AttachedSingle';

/** @throws VarveError ‘unavailable’ / TENANT_STALE */
export function refuseUnlessUploading(tenantId: TenantId, mode: AttachedMode): void {
  if (!mayUpload(mode)) throw tenantStale(tenantId);
}

/** @throws VarveError ‘unavailable’ / TENANT_STALE, TENANT_NOT_SINGLE */
export function refuseUnlessRemoving(tenantId: TenantId, mode: AttachedMode): void {
  refuseUnlessUploading(tenantId, mode);
  if (mayRemove(mode)) return;
  throw new VarveError(
    'unavailable',
    'TENANT_NOT_SINGLE',
    `tenant ${tenantId} is ${mode}: nothing of it is removed`,
  );
}

export const tenantStale = (tenantId: TenantId): VarveError =>
  new VarveError(
    'unavailable',
    'TENANT_STALE',
    `tenant ${tenantId} is AttachedStale: another node is about to take it over, and nothing of it is stored from here`,
  );
