import { parseTimelineId, type TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import {
  syntheticSizeSchema,
  tenantDetailsSchema,
  tenantListSchema,
  waitLsnResultSchema,
  waitLsnSchema,
} from '../../contracts/pageserver-api.ts';
import {
  locationConfigSchema,
  locationListSchema,
  locationQuerySchema,
  locationResultSchema,
} from '../../contracts/pageserver-api-config.ts';
import { shardParamsSchema } from '../../contracts/tenant-shard-id.ts';
import { WHOLE_SERVICE } from '../../contracts/token.ts';
import type { HttpApp } from '../../http/app.ts';
import type { TenantAdministration } from '../administration/administration.ts';
import { ofShard, SHARD_PATH } from './resources.ts';
import { sizePage } from './size-page.ts';

/** Adds what there is to know of tenants, and how they are attached. */
export function addTenantRoutes(app: HttpApp, tenants: TenantAdministration): void {
  app.addJson({
    method: 'get',
    path: '/v1/tenant',
    summary: 'All tenants that are attached here, in whatever state',
    access: () => WHOLE_SERVICE,
    answer: tenantListSchema,
    handle: async () => tenants.list(),
  });
  app.addJson({
    method: 'get',
    path: SHARD_PATH,
    summary: 'A tenant, with its timelines',
    access: ({ params }) => ofShard(params),
    params: shardParamsSchema,
    answer: tenantDetailsSchema,
    handle: async ({ params }) => tenants.details(params.tenant_shard_id),
  });
  app.addJson({
    method: 'delete',
    path: SHARD_PATH,
    summary: 'Delete a tenant, with all that the store has of it; may be repeated',
    access: ({ params }) => ofShard(params),
    params: shardParamsSchema,
    handle: ({ params }) => tenants.delete(params.tenant_shard_id),
  });
  app.addJson({
    method: 'get',
    path: `${SHARD_PATH}/synthetic_size`,
    summary: "What the tenant's history costs by itself",
    access: ({ params }) => ofShard(params),
    params: shardParamsSchema,
    answer: syntheticSizeSchema,
    forms: [{ contentType: 'text/html', render: sizePage }],
    handle: ({ params, signal }) => tenants.syntheticSize(params.tenant_shard_id, signal),
  });
  addWaitLsn(app, tenants);
  addLocationRoutes(app, tenants);
}

function addWaitLsn(app: HttpApp, tenants: TenantAdministration): void {
  app.addJson({
    method: 'post',
    path: `${SHARD_PATH}/wait_lsn`,
    summary: 'Wait until timelines have taken in WAL up to LSNs',
    access: ({ params }) => ofShard(params),
    params: shardParamsSchema,
    body: waitLsnSchema,
    answer: waitLsnResultSchema,
    status: { all: [200, 202], of: (reached) => (reached === 'all' ? 200 : 202) },
    handle: ({ params, body, signal }) => {
      const { timeout, ...lsns } = body;
      return tenants.waitLsn(
        params.tenant_shard_id,
        byTimeline(lsns),
        timeout.secs * 1000 + timeout.nanos / 1e6,
        signal,
      );
    },
  });
}

/** @throws BadRequestError BAD_ID */
function byTimeline(lsns: Readonly<Record<string, Lsn>>): Map<TimelineId, Lsn> {
  return new Map(Object.entries(lsns).map(([text, lsn]) => [parseTimelineId(text), lsn]));
}

function addLocationRoutes(app: HttpApp, tenants: TenantAdministration): void {
  app.addJson({
    method: 'get',
    path: '/v1/location_config',
    summary: 'How all tenants are attached',
    access: () => WHOLE_SERVICE,
    answer: locationListSchema,
    handle: async () => tenants.locations(),
  });
  app.addJson({
    method: 'get',
    path: '/v1/location_config/{tenant_shard_id}',
    summary: 'How a tenant is attached',
    access: ({ params }) => ofShard(params),
    params: shardParamsSchema,
    answer: locationConfigSchema.nullable(),
    handle: async ({ params }) => tenants.location(params.tenant_shard_id),
  });
  app.addJson({
    method: 'put',
    path: `${SHARD_PATH}/location_config`,
    summary: 'Attach a tenant, change how it is attached, or detach it; may be repeated',
    access: () => WHOLE_SERVICE,
    params: shardParamsSchema,
    query: locationQuerySchema,
    body: locationConfigSchema,
    answer: locationResultSchema.nullable(),
    handle: ({ params, query, body }) =>
      tenants.setLocation(params.tenant_shard_id, body, { flushMs: query.flush_ms ?? 0 }),
  });
}
