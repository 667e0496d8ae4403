import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { TenantDeletions } from './deletion-list.ts';
import type { TimelineName } from './object-keys.ts';

/** Objects that go into one list. A tenant is in it with one generation. */
export class DeletionBatch {
  count = 0;
  readonly #tenants = new Map<TenantId, { generation: number; timelines: Map<TimelineId, string[]> }>();

  /** Whether objects of this tenant may be added in this generation. */
  takes(tenantId: TenantId, generation: number): boolean {
    const tenant = this.#tenants.get(tenantId);
    return tenant === undefined || tenant.generation === generation;
  }

  add({ tenantId, timelineId }: TimelineName, generation: number, names: readonly string[]): void {
    let tenant = this.#tenants.get(tenantId);
    if (tenant === undefined) {
      tenant = { generation, timelines: new Map() };
      this.#tenants.set(tenantId, tenant);
    }
    const known = tenant.timelines.get(timelineId);
    if (known === undefined) tenant.timelines.set(timelineId, [...names]);
    else for (const name of names) known.push(name);
    this.count += names.length;
  }

  tenants(): TenantDeletions[] {
    return [...this.#tenants].map(([tenantId, tenant]) => ({ tenantId, ...tenant }));
  }
}

/** What becomes of lists that an earlier process has left and that nobody had validated. */
export function adoptTenants(
  tenants: readonly TenantDeletions[],
  attached: ReadonlyMap<TenantId, number>,
): TenantDeletions[] {
  const adopted: TenantDeletions[] = [];
  for (const tenant of tenants) {
    const now = attached.get(tenant.tenantId);
    // Generations are given one after another: with none in between, nobody else has been attached meanwhile, so
    // what was to go then is to go now.
    if (now === tenant.generation || now === tenant.generation + 1)
      adopted.push({ ...tenant, generation: now });
  }
  return adopted;
}
