import { VarveError } from '../base/errors.ts';
import type { TenantId } from '../base/ids.ts';
import type { Role, RoleCreate, RolePatch } from '../contracts/control-api.ts';
import {
  deriveScramSecret,
  formatScramSecret,
  SCRAM_DEFAULT_SALT_BYTES,
  SCRAM_SHA_256_DEFAULT_ITERATIONS,
} from '../postgres/wire/scram.ts';
import type { Change } from './database/database.ts';
import type { RolesTable, Started } from './database/tables.ts';
import { getProject, requireReady } from './find-rows.ts';
import { noteStarted, type RepeatableRequest } from './idempotency.ts';
import type { ControlParts } from './parts.ts';

const PASSWORD_BYTES = 18;

/** The password is known to nobody else from then on. */
export interface StartedRole {
  readonly started: Started;
  readonly password: string | null;
}

/** Roles of a project, which all of its primaries have. */
export class Roles {
  readonly #parts: ControlParts;

  constructor(parts: ControlParts) {
    this.#parts = parts;
  }

  async list(project: string): Promise<Role[]> {
    return await this.#parts.database.query(async (queries) => {
      const { id } = await getProject(queries, project);
      const rows = await queries
        .selectFrom('roles')
        .selectAll()
        .where('project_id', '=', id)
        .where('is_deleted', '=', false)
        .orderBy('name')
        .execute();
      return rows.map((row) => ({
        name: row.name,
        hasPassword: row.verifier !== null,
        superuser: row.is_superuser,
        createdb: row.may_create_databases,
        createrole: row.may_create_roles,
        createdAt: row.created_at.getTime(),
      }));
    });
  }

  /** @throws VarveError ‘not-found’ / ROLE_NOT_FOUND */
  async get(project: string, name: string): Promise<Role> {
    const found = (await this.list(project)).find((role) => role.name === name);
    if (found === undefined) throw roleNotFound(name);
    return found;
  }

  /** @throws VarveError ‘conflict’ / ROLE_EXISTS, PROJECT_BUSY */
  async create(project: string, wanted: RoleCreate, request?: RepeatableRequest): Promise<StartedRole> {
    const { password, verifier } = this.#secret(wanted.password);
    const values = {
      verifier,
      is_superuser: wanted.superuser ?? false,
      may_create_databases: wanted.createdb ?? false,
      may_create_roles: wanted.createrole ?? false,
      is_deleted: false,
    };
    const { name } = wanted;
    const started = await this.#change(project, name, request, async (change, projectId) => {
      // One that was deleted comes back.
      const { numUpdatedRows } = await change
        .updateTable('roles')
        .set(values)
        .where('project_id', '=', projectId)
        .where('name', '=', name)
        .where('is_deleted', '=', true)
        .executeTakeFirst();
      if (numUpdatedRows > 0n) return;
      await change
        .insertInto('roles')
        .values({ project_id: projectId, name, ...values })
        .execute();
    });
    return { started, password };
  }

  /** A new password. @throws VarveError ‘not-found’ / ROLE_NOT_FOUND */
  async patch(
    project: string,
    name: string,
    { password: wanted }: RolePatch,
    request?: RepeatableRequest,
  ): Promise<StartedRole> {
    const { password, verifier } = this.#secret(wanted);
    const started = await this.#update(project, name, request, { verifier });
    return { started, password };
  }

  /** It may not log in any more; what it owns stays. @throws VarveError ‘not-found’ / ROLE_NOT_FOUND */
  async delete(project: string, name: string, request?: RepeatableRequest): Promise<Started> {
    return await this.#update(project, name, request, { verifier: null, is_deleted: true });
  }

  async #update(
    project: string,
    name: string,
    request: RepeatableRequest | undefined,
    set: Partial<Pick<RolesTable, 'verifier' | 'is_deleted'>>,
  ): Promise<Started> {
    return await this.#change(project, name, request, async (change, projectId) => {
      const { numUpdatedRows } = await change
        .updateTable('roles')
        .set(set)
        .where('project_id', '=', projectId)
        .where('name', '=', name)
        .where('is_deleted', '=', false)
        .executeTakeFirst();
      if (numUpdatedRows === 0n) throw roleNotFound(name);
    });
  }

  async #change(
    project: string,
    role: string,
    request: RepeatableRequest | undefined,
    action: (change: Change, projectId: TenantId) => Promise<void>,
  ): Promise<Started> {
    return await this.#parts.runner.change(async (change, begin) => {
      const owner = await getProject(change, project);
      requireReady('project', owner);
      const { id: projectId } = owner;
      await action(change, projectId);
      const operationId = await begin({ kind: 'apply-roles', projectId, parameters: {} });
      const started = { projectId, role, operationId };
      await noteStarted(change, request, started);
      return started;
    });
  }

  /** @param wanted undefined: one is made up, and told; null: there is to be none */
  #secret(wanted: string | null | undefined): { password: string | null; verifier: string | null } {
    if (wanted === null) return { password: null, verifier: null };
    const { random } = this.#parts;
    const madeUp = wanted === undefined ? base64Url(random.bytes(PASSWORD_BYTES)) : null;
    const salt = random.bytes(SCRAM_DEFAULT_SALT_BYTES);
    const secret = deriveScramSecret(wanted ?? (madeUp as string), salt, SCRAM_SHA_256_DEFAULT_ITERATIONS);
    return { password: madeUp, verifier: formatScramSecret(secret) };
  }
}

const base64Url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');

const roleNotFound = (name: string): VarveError =>
  new VarveError('not-found', 'ROLE_NOT_FOUND', `there is no role “${name.slice(0, 80)}”`);
