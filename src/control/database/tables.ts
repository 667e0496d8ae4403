import type { ColumnType, Generated } from 'kysely';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import type {
  EndpointKind,
  EndpointState,
  OperationError,
  OperationState,
  SubjectState,
} from '../../contracts/control-api.ts';
import type { NodeKind } from '../../contracts/control-api-status.ts';
import type { EndpointStep } from '../../contracts/endpoint-manager.ts';

/** Rows of the tables that migrations.ts makes. LSNs are `pg_lsn`, which comes and goes as text. */

/** Set by the database when the row is made. */
type MadeAt = ColumnType<Date, Date | undefined, never>;
/** Goes in as JSON text. */
type Json<Value> = ColumnType<Value, string, string>;

export interface NodesTable {
  kind: NodeKind;
  id: number;
  pg_host: string;
  pg_port: number;
  http_url: string;
  is_schedulable: boolean;
}

export interface ProjectsTable {
  id: TenantId;
  name: string;
  pg_major: number;
  wal_segment_bytes: number;
  /** Of the server's WAL: known once its first timeline is made. As text: it has 64 bits. */
  system_identifier: string | null;
  state: SubjectState;
  created_at: MadeAt;
}

export interface TenantsTable {
  tenant_id: TenantId;
  /** The highest that was ever given. */
  generation: number;
  pageserver_id: number;
}

export interface TimelinesTable {
  tenant_id: TenantId;
  timeline_id: TimelineId;
  ancestor_timeline_id: TimelineId | null;
  /** Where it left its ancestor: known once the pageserver has made it. */
  ancestor_lsn: string | null;
  /** Where its own WAL begins. */
  start_lsn: string | null;
  membership_generation: number;
  /** Empty: nobody writes to it. */
  safekeeper_ids: number[];
}

export interface BranchesTable {
  id: string;
  project_id: TenantId;
  name: string;
  timeline_id: TimelineId;
  is_default: boolean;
  is_protected: boolean;
  expires_at: Date | null;
  state: SubjectState;
  created_at: MadeAt;
}

export interface EndpointsTable {
  id: string;
  project_id: TenantId;
  branch_id: string;
  kind: EndpointKind;
  /** What a read-only endpoint shows, on a timeline of its own that begins there. */
  lsn: string | null;
  at_time: Date | null;
  timeline_id: TimelineId | null;
  port: number | null;
  /** It was asked for by its number. */
  is_port_fixed: boolean;
  suspend_after_seconds: number;
  settings: Json<Record<string, string>>;
  state: EndpointState;
  error: Json<OperationError> | null;
  start_steps: Json<readonly EndpointStep[]>;
  last_active_at: Date | null;
  created_at: MadeAt;
}

export interface RolesTable {
  project_id: TenantId;
  name: string;
  /** A SCRAM-SHA-256 secret. */
  verifier: string | null;
  is_superuser: boolean;
  may_create_databases: boolean;
  may_create_roles: boolean;
  /** It stays known, so that servers are told to let it in no more. */
  is_deleted: boolean;
  created_at: MadeAt;
}

export interface OperationsTable {
  id: string;
  kind: string;
  project_id: TenantId;
  branch_id: string | null;
  endpoint_id: string | null;
  parameters: Json<unknown>;
  state: OperationState;
  step: string | null;
  attempts: Generated<number>;
  error: Json<OperationError> | null;
  created_at: MadeAt;
  finished_at: Date | null;
}

/** What a request has begun, and of what. */
export interface Started {
  readonly projectId: TenantId;
  readonly branchId?: string;
  readonly endpointId?: string;
  readonly role?: string;
  /** null: all of it was done in one transaction. */
  readonly operationId: string | null;
}

export interface IdempotencyTable {
  key: string;
  request_hash: string;
  /** What the request has begun. */
  started: Json<Started>;
  created_at: MadeAt;
}

export interface Tables {
  nodes: NodesTable;
  projects: ProjectsTable;
  tenants: TenantsTable;
  timelines: TimelinesTable;
  branches: BranchesTable;
  endpoints: EndpointsTable;
  roles: RolesTable;
  operations: OperationsTable;
  idempotency: IdempotencyTable;
}
