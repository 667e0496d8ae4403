/** What the store has of a tenant beside its timelines, as docs/formats/tenant-config.md says. */
import { z } from 'zod';
import type { TenantId } from '../../base/ids.ts';
import { type TenantConfig, tenantConfigSchema } from '../../contracts/tenant-config.ts';
import type { ObjectStore } from '../../io/objects.ts';
import type { Logger } from '../../observe/log.ts';
import { countSchema, decodeCheckedJson, encodeCheckedJson, type TextFormat } from './checked-text.ts';
import { formatGeneration, parseGeneration } from './generation.ts';
import { tenantPrefix } from './object-keys.ts';

const CONFIG: TextFormat = {
  name: 'varve-tenant-config',
  version: 1,
  errorCode: 'BAD_TENANT_CONFIG',
  bytesMax: 1024 * 1024,
};
const DELETION: TextFormat = {
  name: 'varve-tenant-deleted',
  version: 1,
  errorCode: 'BAD_TENANT_DELETION',
  bytesMax: 64 * 1024,
};

const configSchema = z.strictObject({ config: tenantConfigSchema });
const deletionSchema = z.strictObject({ deletedAtMs: countSchema });

const CONFIG_NAME = 'tenant-config-';
const DELETED_NAME = 'tenant-deleted-';

export interface TenantObjects {
  readonly config: TenantConfig;
  /** Configurations of earlier attachments, which nobody needs when there is one of this one. */
  readonly olderKeys: readonly string[];
  /** Whoever is attached is to remove the tenant. */
  readonly isDeleted: boolean;
}

interface Doors {
  readonly objects: ObjectStore;
  readonly logger: Logger;
}

/**
 * Reads what holds for whoever is attached in a generation: what newer ones have written is not read.
 * @throws CorruptionError BAD_TENANT_CONFIG; VarveError ‘precondition’ / UNKNOWN_FORMAT_VERSION; what the store fails of
 */
export async function loadTenantObjects(
  { objects, logger }: Doors,
  tenantId: TenantId,
  ownGeneration: number,
  signal: AbortSignal,
): Promise<TenantObjects> {
  const prefix = tenantPrefix(tenantId);
  const configs: { readonly key: string; readonly generation: number }[] = [];
  let isDeleted = false;
  for await (const { key } of objects.list(`${prefix}tenant-`, signal)) {
    const name = key.slice(prefix.length);
    const kind = [CONFIG_NAME, DELETED_NAME].find((each) => name.startsWith(each));
    const generation = kind === undefined ? undefined : parseGeneration(name.slice(kind.length));
    if (generation === undefined) logger.warn('An object is passed over whose name is unknown', { key });
    else if (generation > ownGeneration) continue;
    else if (kind === DELETED_NAME) isDeleted = true;
    else configs.push({ key, generation });
  }
  configs.sort((left, right) => left.generation - right.generation);
  const newest = configs.at(-1);
  const olderKeys = configs.filter(({ generation }) => generation < ownGeneration).map(({ key }) => key);
  if (newest === undefined) return { config: {}, olderKeys, isDeleted };
  const bytes = await objects.get(newest.key, { signal, end: CONFIG.bytesMax + 1 });
  const { config } = decodeCheckedJson(CONFIG, configSchema, bytes, newest.key);
  return { config, olderKeys, isDeleted };
}

/** Durable when it resolves. */
export async function putTenantConfig(
  objects: ObjectStore,
  tenantId: TenantId,
  generation: number,
  config: TenantConfig,
  signal: AbortSignal,
): Promise<void> {
  const key = `${tenantPrefix(tenantId)}${CONFIG_NAME}${formatGeneration(generation)}`;
  await objects.put(key, encodeCheckedJson(CONFIG, { config }), { signal });
}

/** From now on whoever loads the tenant in this generation or a later one goes on with removing it. */
export async function markTenantDeleted(
  objects: ObjectStore,
  tenantId: TenantId,
  generation: number,
  deletedAtMs: number,
  signal: AbortSignal,
): Promise<void> {
  const key = `${tenantPrefix(tenantId)}${DELETED_NAME}${formatGeneration(generation)}`;
  const value: z.input<typeof deletionSchema> = { deletedAtMs: Math.floor(deletedAtMs) };
  await objects.put(key, encodeCheckedJson(DELETION, value), { signal });
}

const KEYS_AT_ONCE = 1000;

/** Removes all that the store has of a tenant; what says that it is to be removed goes last. */
export async function removeTenantObjects(
  objects: ObjectStore,
  tenantId: TenantId,
  signal: AbortSignal,
): Promise<void> {
  const prefix = tenantPrefix(tenantId);
  for (;;) {
    const keys: string[] = [];
    const marks: string[] = [];
    for await (const { key } of objects.list(prefix, signal)) {
      (key.startsWith(`${prefix}${DELETED_NAME}`) ? marks : keys).push(key);
      if (keys.length === KEYS_AT_ONCE) break;
    }
    // Listed anew until nothing but the marks is there: an upload of an earlier attachment may have come in late.
    const next = keys.length > 0 ? keys : marks;
    if (next.length === 0) return;
    await objects.remove(next, signal);
  }
}
