/** Every endpoint of the pageserver, with a request that is good for the timeline that there is. */
import { formatLsn } from '../../src/base/lsn.ts';
import { MADE_START, VICTIM } from './bad-input-world.ts';

/**
 * What the state of the tenant matters for: nothing (`service`); it can be told in any state (`tenant-state`); it must be
 * active (`tenant`); it changes how the tenant is attached (`attachment`).
 */
export type EndpointKind = 'service' | 'tenant-state' | 'tenant' | 'attachment';

export interface Endpoint {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  readonly kind: EndpointKind;
  /** What opens it: nothing is needed, a token of the tenant, or one of the whole service. */
  readonly access: 'open' | 'tenant' | 'service';
  /** Of an active tenant. */
  readonly status: number;
}

export const NEW_TIMELINE = '7'.repeat(32);
const LSN = formatLsn(MADE_START);

/** @param tenant whom it is asked of */
export function endpointsOf(tenant: string): Endpoint[] {
  const shard = `/v1/tenant/${tenant}`;
  const timeline = `${shard}/timeline/${VICTIM}`;
  const service = (path: string, access: Endpoint['access']): Endpoint => ({
    method: 'GET',
    path,
    kind: 'service',
    access,
    status: 200,
  });
  const of = (
    method: Endpoint['method'],
    path: string,
    body?: unknown,
    more: Partial<Endpoint> = {},
  ): Endpoint => ({ method, path, body, kind: 'tenant', access: 'tenant', status: 200, ...more });
  const location = { mode: 'AttachedSingle', tenant_conf: {} };
  const page = `key=${'0'.repeat(36)}`;
  const branch = { new_timeline_id: NEW_TIMELINE, ancestor_timeline_id: VICTIM };
  const imported = `/v1/tenant/${tenant}/timeline/${VICTIM}`;
  const tar = new Uint8Array(512);
  return [
    service('/metrics', 'open'),
    service('/openapi.json', 'open'),
    service('/live', 'open'),
    service('/ready', 'open'),
    service('/v1/status', 'open'),
    service('/v1/utilization', 'service'),
    service('/v1/tenant', 'service'),
    service('/v1/location_config', 'service'),
    service('/profile/cpu?seconds=1', 'service'),
    service('/profile/heap?seconds=1', 'service'),
    of('GET', shard, undefined, { kind: 'tenant-state' }),
    of('GET', `/v1/location_config/${tenant}`, undefined, { kind: 'tenant-state' }),
    of('GET', `${shard}/config`),
    of('PUT', '/v1/tenant/config', { tenant_id: tenant, gc_horizon: 0 }),
    of('PATCH', '/v1/tenant/config', { tenant_id: tenant, gc_horizon: null }),
    of('GET', `${shard}/synthetic_size`),
    of('POST', `${shard}/wait_lsn`, { [VICTIM]: LSN, timeout: { secs: 0, nanos: 1000 } }),
    of('GET', `${shard}/timeline`),
    of('GET', `${shard}/timeline_and_offloaded`),
    of('POST', `${shard}/timeline`, branch, { status: 201 }),
    of('GET', timeline),
    of('PUT', `${timeline}/archival_config`, { state: 'Unarchived' }),
    of('PUT', `${timeline}/detach_ancestor?detach_behavior=v2`),
    of('PUT', `${imported}/import_basebackup?base_lsn=${LSN}&end_lsn=${LSN}&pg_version=17`, tar),
    of('PUT', `${imported}/import_wal?start_lsn=${LSN}&end_lsn=${LSN}`, tar),
    of('GET', `${timeline}/get_lsn_by_timestamp?timestamp=2026-01-01T00:00:00Z`),
    of('GET', `${timeline}/get_timestamp_of_lsn?lsn=${LSN}`, undefined, { status: 412 }),
    of('POST', `${timeline}/lsn_lease`, { lsn: LSN }),
    of('POST', `${timeline}/block_gc`),
    of('POST', `${timeline}/unblock_gc`),
    of('GET', `${timeline}/layer`),
    of('GET', `${timeline}/layer/nothing`, undefined, { status: 400 }),
    of('PUT', `${timeline}/do_gc`),
    of('PUT', `${timeline}/compact`),
    of('PUT', `${timeline}/checkpoint`),
    of('GET', `${timeline}/keyspace`),
    of('GET', `${timeline}/getpage?${page}`, undefined, { access: 'service' }),
    of('GET', `${timeline}/touchpage?${page}`),
    of('POST', `${timeline}/list_aux_files`, { lsn: LSN }, { access: 'service' }),
    // Last, since they change what there is.
    of('DELETE', `${shard}/timeline/${NEW_TIMELINE}`, undefined, { status: 202 }),
    of('PUT', `${shard}/location_config`, location, { kind: 'attachment', access: 'service' }),
    of('DELETE', shard, undefined, { kind: 'attachment' }),
  ];
}
