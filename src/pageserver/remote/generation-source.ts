import { BadRequestError } from '../../base/errors.ts';
import type { TenantId } from '../../base/ids.ts';
import type { AttachedMode } from '../../contracts/pageserver-api-config.ts';

/** Somebody believes to be attached to a tenant, in this generation. */
export interface GenerationClaim {
  readonly tenantId: TenantId;
  readonly generation: number;
}

/**
 * Where the numbers of attachments come from: a local file where a pageserver runs alone, the control plane otherwise.
 * Each attachment of a tenant, on whichever node, gets a number that is higher than all before it; whoever has the
 * highest one may remove objects and say what is durable. Every method may fail with ‘unavailable’, or with
 * ‘cancelled’ when the signal is given.
 */
export interface GenerationSource {
  /**
   * Attaches a tenant to this node, in a new generation, which nobody else gets.
   * @param above the highest generation that the store is known to have objects of, for a source that may have
   *   forgotten: the new one is higher
   */
  attach(tenantId: TenantId, signal: AbortSignal, above?: number): Promise<number>;
  /**
   * The control plane has attached a tenant to this node in this generation, and says so once more: where the node keeps
   * generations itself, it remembers that one.
   * @throws VarveError ‘bad-request’ / GENERATION_TOO_LOW where the tenant is known to have had a higher one
   */
  adopt(tenantId: TenantId, generation: number, mode: AttachedMode, signal: AbortSignal): Promise<void>;
  /**
   * The control plane has changed how a tenant is attached to this node, in the generation that it has: where the node keeps
   * that itself, it remembers it.
   */
  changeMode(tenantId: TenantId, generation: number, mode: AttachedMode, signal: AbortSignal): Promise<void>;
  /**
   * After a start: all tenants that are attached to this node, each in a new generation, but for those that `modeOf` says
   * are AttachedStale, which may be in the one that they had.
   */
  reattachAll(signal: AbortSignal): Promise<ReadonlyMap<TenantId, number>>;
  /** How a tenant is attached that `reattachAll` has given. */
  modeOf(tenantId: TenantId): AttachedMode;
  /** The tenant is not on this node any more. It may be gone already. */
  detach(tenantId: TenantId, signal: AbortSignal): Promise<void>;
  /** Those of the claims that were true at some moment within this call: nobody had attached anew. */
  validate(claims: readonly GenerationClaim[], signal: AbortSignal): Promise<readonly GenerationClaim[]>;
}

/** Somebody wants to attach in a generation that is not above what has been, or is none. */
export const generationTooLow = (tenantId: TenantId, generation: number, known: number): BadRequestError =>
  new BadRequestError(
    'GENERATION_TOO_LOW',
    `Generation ${generation} of tenant ${tenantId} is less than existing ${known}`,
  );
