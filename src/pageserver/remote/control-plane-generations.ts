import { VarveError } from '../../base/errors.ts';
import type { TenantId } from '../../base/ids.ts';
import type { AttachedMode } from '../../contracts/pageserver-api-config.ts';
import { isWholeTenant, wholeTenant } from '../../contracts/tenant-shard-id.ts';
import {
  CLAIMS_MAX,
  type ReAttachResult,
  reAttachResultSchema,
  reAttachSchema,
  UPCALL_API,
  validateResultSchema,
  validateSchema,
} from '../../contracts/upcall-api.ts';
import { HttpClient, type HttpClientOptions } from '../../http/http-client.ts';
import { throwIfCancelled } from '../../io/cancelled.ts';
import type { Random } from '../../io/random.ts';
import { pause, RetryDelay } from '../../io/retry-delay.ts';
import type { Logger } from '../../observe/log.ts';
import type { Counter } from '../../observe/metric-cells.ts';
import type { Metrics } from '../../observe/metrics.ts';
import { mayUpload } from './attached-mode.ts';
import { type GenerationClaim, type GenerationSource, generationTooLow } from './generation-source.ts';

const RETRY_TIMING = { minMs: 100, maxMs: 10_000 };

export interface ControlPlaneGenerationsDoors extends HttpClientOptions {
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

interface Attachment {
  readonly generation: number;
  readonly mode: AttachedMode;
}

/**
 * Generations from the control plane. It gives them, and says which is the newest; here it is only known which ones this process
 * was given, so that it does not go back behind them. A control plane that is away is waited for at the start, and until it is
 * there again nothing is removed, and safekeepers are told of nothing new that is durable.
 */
export class ControlPlaneGenerations implements GenerationSource {
  readonly #nodeId: number;
  readonly #client: HttpClient;
  readonly #doors: ControlPlaneGenerationsDoors;
  readonly #failures: Counter;
  readonly #attachments = new Map<TenantId, Attachment>();

  /** @param nodeId of this pageserver */
  constructor(nodeId: number, doors: ControlPlaneGenerationsDoors) {
    this.#nodeId = nodeId;
    this.#client = new HttpClient(doors);
    this.#doors = doors;
    this.#failures = doors.metrics.counter(
      'pageserver_control_plane_errors_total',
      'Calls to the control plane that have failed',
    );
  }

  /** Only the control plane attaches tenants, and says in which generation. */
  attach(tenantId: TenantId): Promise<number> {
    return Promise.reject(
      new VarveError(
        'bad-request',
        'GENERATION_REQUIRED',
        `tenant ${tenantId} cannot be attached without a generation: the control plane gives them`,
      ),
    );
  }

  async adopt(
    tenantId: TenantId,
    generation: number,
    mode: AttachedMode,
    signal: AbortSignal,
  ): Promise<void> {
    throwIfCancelled(signal);
    const known = this.#attachments.get(tenantId)?.generation ?? 0;
    if (generation < known) throw generationTooLow(tenantId, generation, known);
    this.#attachments.set(tenantId, { generation, mode });
  }

  changeMode(tenantId: TenantId, generation: number, mode: AttachedMode, signal: AbortSignal): Promise<void> {
    return this.adopt(tenantId, generation, mode, signal);
  }

  modeOf(tenantId: TenantId): AttachedMode {
    return this.#attachments.get(tenantId)?.mode ?? 'AttachedSingle';
  }

  /** Asks until it is answered. */
  async reattachAll(signal: AbortSignal): Promise<ReadonlyMap<TenantId, number>> {
    const retry = new RetryDelay(RETRY_TIMING, this.#doors.random);
    for (;;) {
      try {
        return this.#take(await this.#reAttach(signal));
      } catch (error) {
        throwIfCancelled(signal);
        if (!isPassing(error)) throw error;
        this.#doors.logger.warn(
          'The control plane cannot be asked what is attached here, and is asked again',
          {
            url: this.#doors.baseUrl,
            error,
          },
        );
      }
      await pause(this.#doors.clock, retry.nextMs(), signal);
    }
  }

  #reAttach(signal: AbortSignal): Promise<ReAttachResult> {
    return this.#count(() =>
      this.#client.getJson(
        {
          method: 'POST',
          path: `${UPCALL_API}/re-attach`,
          body: reAttachSchema.encode({ node_id: this.#nodeId }),
          signal,
        },
        reAttachResultSchema,
      ),
    );
  }

  #take({ tenants }: ReAttachResult): ReadonlyMap<TenantId, number> {
    const attached = new Map<TenantId, number>();
    for (const { id, gen, mode } of tenants) {
      // What is to be known of a tenant in reserve only, is not attached.
      if (mode === 'Secondary' || mode === 'Detached') continue;
      if (!isWholeTenant(id) || typeof gen !== 'number') {
        throw new VarveError(
          'corruption',
          'BAD_ANSWER',
          'the control plane has attached a tenant without a generation',
        );
      }
      attached.set(id.tenantId, gen);
      this.#attachments.set(id.tenantId, { generation: gen, mode });
    }
    return attached;
  }

  async detach(tenantId: TenantId, signal: AbortSignal): Promise<void> {
    throwIfCancelled(signal);
    this.#attachments.delete(tenantId);
  }

  async validate(
    claims: readonly GenerationClaim[],
    signal: AbortSignal,
  ): Promise<readonly GenerationClaim[]> {
    const own = claims.filter(({ tenantId, generation }) => {
      const attachment = this.#attachments.get(tenantId);
      // Of what is not attached any more the control plane knows; a deletion may still be under way.
      return attachment === undefined || (attachment.generation === generation && mayUpload(attachment.mode));
    });
    const valid: GenerationClaim[] = [];
    for (const batch of batchesOf(own)) {
      const answers = await this.#validate(batch, signal);
      valid.push(...batch.filter(({ tenantId }) => answers.has(tenantId)));
    }
    return valid;
  }

  /** @returns the tenants whose claims are true. @param claims one of a tenant: an answer does not say which it is of */
  async #validate(claims: readonly GenerationClaim[], signal: AbortSignal): Promise<ReadonlySet<TenantId>> {
    const tenants = claims.map(({ tenantId, generation }) => ({
      id: wholeTenant(tenantId),
      gen: generation,
    }));
    const body = validateSchema.encode({ tenants });
    const answer = await this.#count(() =>
      this.#client.getJson(
        { method: 'POST', path: `${UPCALL_API}/validate`, body, signal },
        validateResultSchema,
      ),
    );
    return new Set(answer.tenants.filter(({ valid }) => valid).map(({ id }) => id.tenantId));
  }

  async #count<Result>(call: () => Promise<Result>): Promise<Result> {
    try {
      return await call();
    } catch (error) {
      this.#failures.increment();
      throw error;
    }
  }
}

/** As many calls as are needed, none with two claims of one tenant. */
function batchesOf(claims: readonly GenerationClaim[]): GenerationClaim[][] {
  const batches: Map<TenantId, GenerationClaim>[] = [];
  for (const claim of claims) {
    const fit = batches.find((batch) => batch.size < CLAIMS_MAX && !batch.has(claim.tenantId));
    const batch = fit ?? new Map<TenantId, GenerationClaim>();
    if (fit === undefined) batches.push(batch);
    batch.set(claim.tenantId, claim);
  }
  return batches.map((batch) => [...batch.values()]);
}

/** Everything but a bug: a token that is refused may be replaced, and an answer that is wrong may be a proxy's. */
const isPassing = (error: unknown): boolean => error instanceof VarveError && error.kind !== 'assertion';
