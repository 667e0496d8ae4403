import { VarveError } from '../../base/errors.ts';
import type { TenantId } from '../../base/ids.ts';
import type { AttachedMode } from '../../contracts/pageserver-api-config.ts';
import { cancelledError, throwIfCancelled } from '../../io/cancelled.ts';
import type { Clock } from '../../io/clock.ts';
import type { Tenant } from './tenant.ts';

/**
 * `attaching`: its timelines are being loaded. `broken`: it stays as it is until it is detached, or attached anew.
 * `stopping`: it is being detached or deleted, or stops to be attached in a newer generation.
 */
export type TenantState = 'attaching' | 'active' | 'broken' | 'stopping';

/** What there is to say of a tenant that is attached here, in whatever state. */
export interface TenantStatus {
  readonly tenantId: TenantId;
  readonly state: TenantState;
  readonly generation: number;
  readonly mode: AttachedMode;
  /** Of a broken one: what it is broken by. */
  readonly error: VarveError | undefined;
}

export type SlotContent =
  | { readonly state: 'attaching' | 'stopping' | 'gone' }
  | { readonly state: 'active'; readonly tenant: Tenant }
  | { readonly state: 'broken'; readonly error: VarveError };

/** The place of a tenant that is attached here, from the moment that this is decided until nothing is left of it. */
export class TenantSlot {
  readonly tenantId: TenantId;
  generation: number;
  mode: AttachedMode;
  /** An earlier process may have stored something in this generation. */
  isSpent = false;
  #content: SlotContent = { state: 'attaching' };
  #ending = new AbortController();
  #loading: Promise<void> = Promise.resolve();
  /** Those who wait for another state. */
  readonly #waiting = new Set<() => void>();

  constructor(tenantId: TenantId, generation: number, mode: AttachedMode) {
    this.tenantId = tenantId;
    this.generation = generation;
    this.mode = mode;
  }

  get status(): TenantStatus | undefined {
    const { tenantId, generation, mode } = this;
    const { state } = this.#content;
    if (state === 'gone') return undefined;
    const error = this.#content.state === 'broken' ? this.#content.error : undefined;
    return { tenantId, state, generation, mode, error };
  }

  /** Of an active one. */
  get tenant(): Tenant | undefined {
    return this.#content.state === 'active' ? this.#content.tenant : undefined;
  }

  /** It is, or is about to be. */
  get isServed(): boolean {
    return this.#content.state === 'active' || this.#content.state === 'attaching';
  }

  /** Begins to load it. @param load says what has come of it; what it throws is a bug */
  load(load: (signal: AbortSignal) => Promise<SlotContent>): void {
    this.#become({ state: 'attaching' });
    this.#ending = new AbortController();
    const { signal } = this.#ending;
    this.#loading = load(signal).then((content) => {
      if (!signal.aborted || content.state === 'active') this.#become(content);
    });
  }

  /** Nobody gets the tenant any more. Resolves when it is not being loaded any more, with it if it was active. */
  async stop(): Promise<Tenant | undefined> {
    this.#ending.abort();
    await this.#loading;
    const { tenant } = this;
    this.#become({ state: 'stopping' });
    return tenant;
  }

  /** Nothing is left of it here. */
  leave(): void {
    this.#become({ state: 'gone' });
  }

  /** Resolves when it is not being loaded any more. */
  async whenLoaded(): Promise<void> {
    await this.#loading;
  }

  /** @throws VarveError ‘unavailable’ / TENANT_NOT_ACTIVE; ‘not-found’ / TENANT_NOT_FOUND; what it is broken by */
  require(): Tenant {
    const content = this.#content;
    switch (content.state) {
      case 'active':
        return content.tenant;
      case 'broken':
        throw content.error;
      case 'gone':
        throw tenantNotFound(this.tenantId);
      case 'attaching':
      case 'stopping':
        throw new VarveError(
          'unavailable',
          'TENANT_NOT_ACTIVE',
          `tenant ${this.tenantId} is not yet active: it is ${content.state}`,
        );
    }
  }

  /**
   * As `require`, but waits while it is attaching or stopping.
   * @throws VarveError as `require`, TENANT_NOT_ACTIVE when the time is over; ‘cancelled’
   */
  async whenActive(clock: Clock, waitMs: number, signal: AbortSignal): Promise<Tenant> {
    const endMs = clock.monotonicMs() + waitMs;
    while (this.#content.state === 'attaching' || this.#content.state === 'stopping') {
      throwIfCancelled(signal);
      const leftMs = endMs - clock.monotonicMs();
      if (leftMs <= 0) break;
      await this.#nextState(clock, leftMs, signal);
    }
    return this.require();
  }

  #become(content: SlotContent): void {
    this.#content = content;
    for (const wake of [...this.#waiting]) wake();
  }

  /** Resolves when the state has changed, or the time is over. */
  async #nextState(clock: Clock, waitMs: number, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const end = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
        this.#waiting.delete(wake);
      };
      const wake = (): void => {
        end();
        resolve();
      };
      const onAbort = (): void => {
        end();
        reject(cancelledError(signal));
      };
      const timer = clock.setTimer(waitMs, wake);
      this.#waiting.add(wake);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}

export const tenantNotFound = (tenantId: TenantId): VarveError =>
  new VarveError('not-found', 'TENANT_NOT_FOUND', `tenant ${tenantId} is not attached here`);
