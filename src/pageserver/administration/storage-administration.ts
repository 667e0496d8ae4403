import type { PageStorage } from '../storage.ts';
import { LogicalSizes } from '../timeline/logical-sizes.ts';
import type { PageserverAdministration } from './administration.ts';
import type { AdministrationExtensions } from './extensions.ts';
import { StorageHistoryAdministration } from './history-administration.ts';
import { StorageLayerAdministration } from './layer-administration.ts';
import { type ServiceFacts, StorageServiceAdministration } from './service-administration.ts';
import { TenantAccess } from './tenant-access.ts';
import { StorageTenantAdministration } from './tenant-administration.ts';
import { StorageTimelineAdministration } from './timeline-administration.ts';

export interface AdministrationOptions extends ServiceFacts {
  readonly storage: PageStorage;
  readonly extensions: AdministrationExtensions;
  /** Those that others have found out are told, too. */
  readonly sizes?: LogicalSizes;
  /** How long requests wait for a tenant that is being attached. */
  readonly activeWaitMs?: number;
}

/** What the HTTP API does to a storage. */
export function administerStorage(options: AdministrationOptions): PageserverAdministration {
  const { storage, extensions, nodeId, sizes = new LogicalSizes(), activeWaitMs } = options;
  const access = new TenantAccess(storage, activeWaitMs);
  return {
    service: new StorageServiceAdministration(options, storage, extensions),
    tenants: new StorageTenantAdministration(nodeId, access, extensions),
    timelines: new StorageTimelineAdministration(access, sizes, extensions),
    history: new StorageHistoryAdministration(access, extensions.gcBlocking),
    layers: new StorageLayerAdministration(access),
  };
}
