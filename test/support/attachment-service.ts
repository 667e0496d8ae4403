import { VarveError } from '../../src/base/errors.ts';
import type { TenantId } from '../../src/base/ids.ts';
import { throwIfCancelled } from '../../src/io/cancelled.ts';
import {
  type GenerationClaim,
  type GenerationSource,
  generationTooLow,
} from '../../src/pageserver/remote/generation-source.ts';

/** All that several nodes need of a control plane to share tenants: it gives generations, and knows the newest. */
export class AttachmentService {
  /** While set, all calls fail as those to a service that is away do. */
  isDown = false;
  readonly #tenants = new Map<TenantId, { generation: number; nodeId: number | undefined }>();
  /** All that were ever given, as `tenant generation`, and to whom. */
  readonly given = new Map<string, number>();

  forNode(nodeId: number): GenerationSource {
    return {
      attach: async (tenantId, signal, above) => {
        this.#begin(signal);
        return this.#raise(tenantId, nodeId, above ?? 0);
      },
      adopt: async (tenantId, generation, _mode, signal) => {
        this.#begin(signal);
        const known = this.#tenants.get(tenantId)?.generation ?? 0;
        if (generation < known) throw generationTooLow(tenantId, generation, known);
        this.#tenants.set(tenantId, { generation, nodeId });
      },
      changeMode: async (_tenantId, _generation, _mode, signal) => this.#begin(signal),
      modeOf: () => 'AttachedSingle',
      reattachAll: async (signal) => {
        this.#begin(signal);
        const own = [...this.#tenants].filter(([, tenant]) => tenant.nodeId === nodeId);
        return new Map(own.map(([tenantId]) => [tenantId, this.#raise(tenantId, nodeId, 0)]));
      },
      detach: async (tenantId, signal) => {
        this.#begin(signal);
        const tenant = this.#tenants.get(tenantId);
        if (tenant?.nodeId === nodeId) tenant.nodeId = undefined;
      },
      validate: async (claims, signal) => {
        this.#begin(signal);
        return claims.filter((claim) => this.#isCurrent(claim, nodeId));
      },
    };
  }

  #begin(signal: AbortSignal): void {
    throwIfCancelled(signal);
    if (this.isDown) throw new VarveError('unavailable', 'CONTROL_PLANE', 'the attachment service is down');
  }

  #isCurrent({ tenantId, generation }: GenerationClaim, nodeId: number): boolean {
    const tenant = this.#tenants.get(tenantId);
    return tenant?.nodeId === nodeId && tenant.generation === generation;
  }

  #raise(tenantId: TenantId, nodeId: number, above: number): number {
    const generation = Math.max(this.#tenants.get(tenantId)?.generation ?? 0, above) + 1;
    this.#tenants.set(tenantId, { generation, nodeId });
    const given = `${tenantId} ${generation}`;
    if (this.given.has(given)) throw new Error(`${given} is given twice`);
    this.given.set(given, nodeId);
    return generation;
  }
}
