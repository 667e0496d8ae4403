import { isDeepStrictEqual } from 'node:util';
import { VarveError } from '../../base/errors.ts';
import type { TenantConfig } from '../../contracts/tenant-config.ts';
import { loadTenantObjects, putTenantConfig } from '../remote/tenant-objects.ts';
import { checkSettings } from '../timeline/settings.ts';
import { settingsOf } from './tenant-settings.ts';
import { TENANT_DELETED, type TenantTimelines } from './tenant-timelines.ts';

/** What is set for a tenant, here and in the store. */
export class TenantConfiguration {
  readonly #timelines: TenantTimelines;
  readonly #signal: AbortSignal;
  #config: TenantConfig = {};
  /** Configurations of earlier attachments. */
  #olderKeys: readonly string[] = [];
  /** One at a time. */
  #queue: Promise<void> = Promise.resolve();

  constructor(timelines: TenantTimelines, signal: AbortSignal) {
    this.#timelines = timelines;
    this.#signal = signal;
  }

  get config(): TenantConfig {
    return this.#config;
  }

  /** @throws as loadTenantObjects; VarveError ‘precondition’ / TENANT_DELETED where the tenant is to be removed */
  async load(): Promise<void> {
    const { doors, options } = this.#timelines;
    const { tenantId, generation } = options;
    const remote = { objects: doors.remote.objects, logger: doors.logger };
    const { config, olderKeys, isDeleted } = await loadTenantObjects(
      remote,
      tenantId,
      generation,
      this.#signal,
    );
    if (isDeleted) {
      throw new VarveError('precondition', TENANT_DELETED, `tenant ${tenantId} is to be removed`);
    }
    this.#olderKeys = olderKeys;
    const given = options.config;
    if (given !== undefined && !isDeepStrictEqual(given, config)) return await this.set(given);
    this.#apply(config);
  }

  /** @throws as Tenant.setConfig */
  set(config: TenantConfig): Promise<void> {
    checkSettings(settingsOf(this.#timelines.options.settings, config));
    const running = this.#queue.then(() => this.#put(config));
    // Whoever called learns of a failure; the next one goes on all the same.
    this.#queue = running.then(
      () => undefined,
      () => undefined,
    );
    return running;
  }

  async #put(config: TenantConfig): Promise<void> {
    const { doors, options } = this.#timelines;
    const { tenantId, generation, validator } = options;
    const { objects } = doors.remote;
    if (!this.#timelines.mayUpload) return this.#apply(config);
    await putTenantConfig(objects, tenantId, generation, config, this.#signal);
    this.#apply(config);
    if (this.#olderKeys.length === 0 || !this.#timelines.mayRemove) return;
    // Whoever is attached in an older generation, and does not know that it is over, may still need them.
    if (!(await validator.isCurrent({ tenantId, generation }, this.#signal))) return;
    await objects.remove(this.#olderKeys, this.#signal);
    this.#olderKeys = [];
  }

  #apply(config: TenantConfig): void {
    this.#config = config;
    this.#timelines.settings = settingsOf(this.#timelines.options.settings, config);
  }
}
