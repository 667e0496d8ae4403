import type { Readiness } from '../../contracts/health-api.ts';
import type { PageserverStatus, PageserverUtilization } from '../../contracts/pageserver-api.ts';
import type { PageStorage } from '../storage.ts';
import { readTimeline } from '../timeline/timeline-reading.ts';
import type { ServiceAdministration } from './administration.ts';
import type { AdministrationExtensions } from './extensions.ts';

/** Looking at all layers takes a while where there are many: who asks often gets the same answer. */
const UTILIZATION_AGE_MS = 1000;
/** Of the disk that layers may use: nothing is evicted. */
const USABLE_PERCENT = 100;

export interface ServiceFacts {
  readonly nodeId: number;
  /** Where the local files are. */
  readonly directory: string;
}

/** What there is to say of the pageserver as a whole. */
export class StorageServiceAdministration implements ServiceAdministration {
  readonly #facts: ServiceFacts;
  readonly #storage: PageStorage;
  readonly #extensions: AdministrationExtensions;
  #isLoaded = false;
  #utilization: PageserverUtilization | undefined;
  #utilizationAtMs = 0;

  constructor(facts: ServiceFacts, storage: PageStorage, extensions: AdministrationExtensions) {
    this.#facts = facts;
    this.#storage = storage;
    this.#extensions = extensions;
    // It never rejects.
    void storage.loaded.then(() => {
      this.#isLoaded = true;
    });
  }

  status(): PageserverStatus {
    return { id: this.#facts.nodeId };
  }

  /** Tenants that are attached later do not make it unready. */
  readiness(): Readiness {
    const loading = this.#isLoaded
      ? []
      : this.#storage.tenantStatuses.filter(({ state }) => state === 'attaching');
    const missing = [
      ...(this.#isLoaded || loading.length > 0 ? [] : [{ part: 'tenants', reason: 'they are being loaded' }]),
      ...loading.map(({ tenantId }) => ({ part: `tenant ${tenantId}`, reason: 'it is being loaded' })),
      ...(this.#extensions.missing?.() ?? []),
    ];
    return { is_ready: missing.length === 0, missing };
  }

  async utilization(): Promise<PageserverUtilization> {
    const { clock, files } = this.#storage.doors;
    const nowMs = clock.monotonicMs();
    if (this.#utilization !== undefined && nowMs - this.#utilizationAtMs < UTILIZATION_AGE_MS) {
      return this.#utilization;
    }
    let residentBytes = 0;
    let remoteBytes = 0;
    for (const tenant of this.#storage.tenants) {
      for (const { timeline } of tenant.timelines) {
        const reading = readTimeline(timeline);
        residentBytes += reading.residentBytes;
        remoteBytes += reading.remoteBytes;
      }
      await clock.yieldToOthers();
    }
    const { availableBytes } = await files.space(this.#facts.directory);
    this.#utilizationAtMs = nowMs;
    this.#utilization = {
      disk_usage_bytes: residentBytes,
      free_space_bytes: availableBytes,
      disk_wanted_bytes: remoteBytes,
      disk_usable_pct: USABLE_PERCENT,
      shard_count: this.#storage.tenantStatuses.length,
      captured_at: clock.wallMs(),
    };
    return this.#utilization;
  }
}
