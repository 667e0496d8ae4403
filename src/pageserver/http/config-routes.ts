import {
  tenantConfigAnswerSchema,
  tenantConfigPatchSchema,
  tenantConfigPutSchema,
} from '../../contracts/pageserver-api-config.ts';
import { shardParamsSchema } from '../../contracts/tenant-shard-id.ts';
import type { HttpApp } from '../../http/app.ts';
import type { TenantAdministration } from '../administration/administration.ts';
import { ofShard, SHARD_PATH } from './resources.ts';

/** Adds what is set for tenants. */
export function addConfigRoutes(app: HttpApp, tenants: TenantAdministration): void {
  app.addJson({
    method: 'get',
    path: `${SHARD_PATH}/config`,
    summary: 'What is set for a tenant, and what holds for it',
    access: ({ params }) => ofShard(params),
    params: shardParamsSchema,
    answer: tenantConfigAnswerSchema,
    handle: ({ params, signal }) => tenants.config(params.tenant_shard_id, signal),
  });
  app.addJson({
    method: 'put',
    path: '/v1/tenant/config',
    summary: 'Set all that is set for a tenant',
    access: ({ body }) => ({ tenantId: body.tenant_id }),
    body: tenantConfigPutSchema,
    handle: ({ body: { tenant_id, ...config } }) => tenants.putConfig(tenant_id, config),
  });
  app.addJson({
    method: 'patch',
    path: '/v1/tenant/config',
    summary: 'Change some of what is set for a tenant',
    access: ({ body }) => ({ tenantId: body.tenant_id }),
    body: tenantConfigPatchSchema,
    handle: ({ body: { tenant_id, ...patch } }) => tenants.patchConfig(tenant_id, patch),
  });
}
