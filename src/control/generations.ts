import { isWholeTenant, wholeTenant } from '../contracts/tenant-shard-id.ts';
import type {
  ReAttachRequest,
  ReAttachResult,
  ValidateRequest,
  ValidateResult,
} from '../contracts/upcall-api.ts';
import type { Database } from './database/database.ts';

/** GENERATION_MAX of storage: eight hexadecimal digits of an object's name. */
const GENERATION_MAX = 0xffff_ffff;

/**
 * The numbers of attachments (http-apis.md of Neon: upcalls). They are only ever raised, in the transaction that gives them, so
 * that none is given twice, whoever is killed when.
 */
export class Generations {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** A pageserver has started: all of its tenants get new generations, and it forgets all others. */
  async reAttach({ node_id }: ReAttachRequest): Promise<ReAttachResult> {
    const rows = await this.#database.query((queries) =>
      queries
        .updateTable('tenants')
        .set(({ eb }) => ({ generation: eb('generation', '+', 1) }))
        .where('pageserver_id', '=', node_id)
        .where('generation', '<', GENERATION_MAX)
        .returning(['tenant_id', 'generation'])
        .execute(),
    );
    return {
      tenants: rows.map(({ tenant_id, generation }) => ({
        id: wholeTenant(tenant_id),
        gen: generation,
        mode: 'AttachedSingle',
      })),
    };
  }

  /** Who has the newest generation may remove objects. Tenants that are not known are left out. */
  async validate({ tenants }: ValidateRequest): Promise<ValidateResult> {
    const wanted = tenants.filter(({ id }) => isWholeTenant(id));
    if (wanted.length === 0) return { tenants: [] };
    const ids = [...new Set(wanted.map(({ id }) => id.tenantId))];
    const rows = await this.#database.query((queries) =>
      queries
        .selectFrom('tenants')
        .select(['tenant_id', 'generation'])
        .where('tenant_id', 'in', ids)
        .execute(),
    );
    const generationOf = new Map(rows.map(({ tenant_id, generation }) => [tenant_id, generation]));
    return {
      tenants: wanted.flatMap(({ id, gen }) => {
        const newest = generationOf.get(id.tenantId);
        return newest === undefined ? [] : [{ id, valid: newest === gen }];
      }),
    };
  }
}
