/** A change of the tables. What was released is never changed: what comes later is a migration of its own. */
export interface Migration {
  readonly name: string;
  readonly statements: readonly string[];
}

/** Everything of ours is in it, so that a database may be shared. */
export const SCHEMA = 'varve_control';

/** In their order: the version of the tables is the number of those that were carried out. */
export const MIGRATIONS: readonly Migration[] = [
  {
    name: 'projects, branches, endpoints, roles, nodes, generations, operations',
    statements: [
      `CREATE TABLE nodes (
        kind text NOT NULL CHECK (kind IN ('pageserver', 'safekeeper')),
        id integer NOT NULL CHECK (id > 0),
        pg_host text NOT NULL,
        pg_port integer NOT NULL,
        http_url text NOT NULL,
        is_schedulable boolean NOT NULL DEFAULT true,
        PRIMARY KEY (kind, id)
      )`,
      `CREATE TABLE projects (
        id text PRIMARY KEY,
        name text NOT NULL CONSTRAINT projects_name_key UNIQUE,
        pg_major integer NOT NULL,
        wal_segment_bytes integer NOT NULL,
        system_identifier text,
        state text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
      )`,
      `CREATE TABLE tenants (
        tenant_id text PRIMARY KEY REFERENCES projects (id),
        generation bigint NOT NULL CHECK (generation > 0),
        pageserver_id integer NOT NULL
      )`,
      `CREATE TABLE timelines (
        tenant_id text NOT NULL REFERENCES projects (id),
        timeline_id text PRIMARY KEY,
        ancestor_timeline_id text REFERENCES timelines (timeline_id),
        ancestor_lsn pg_lsn,
        start_lsn pg_lsn,
        membership_generation integer NOT NULL,
        safekeeper_ids integer[] NOT NULL
      )`,
      'CREATE INDEX timelines_tenant ON timelines (tenant_id)',
      'CREATE INDEX timelines_ancestor ON timelines (ancestor_timeline_id)',
      `CREATE TABLE branches (
        id text PRIMARY KEY,
        project_id text NOT NULL REFERENCES projects (id),
        name text NOT NULL,
        -- Two branches change places in one statement, at whose end it is checked.
        timeline_id text NOT NULL REFERENCES timelines (timeline_id)
          CONSTRAINT branches_timeline_key UNIQUE DEFERRABLE INITIALLY IMMEDIATE,
        is_default boolean NOT NULL DEFAULT false,
        is_protected boolean NOT NULL DEFAULT false,
        expires_at timestamptz,
        state text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT branches_name_key UNIQUE (project_id, name)
      )`,
      'CREATE INDEX branches_expiry ON branches (expires_at) WHERE expires_at IS NOT NULL',
      `CREATE TABLE endpoints (
        id text PRIMARY KEY,
        project_id text NOT NULL REFERENCES projects (id),
        branch_id text NOT NULL REFERENCES branches (id),
        kind text NOT NULL CHECK (kind IN ('primary', 'read-only')),
        lsn pg_lsn,
        at_time timestamptz,
        timeline_id text REFERENCES timelines (timeline_id),
        port integer CONSTRAINT endpoints_port_key UNIQUE,
        is_port_fixed boolean NOT NULL,
        suspend_after_seconds integer NOT NULL,
        settings jsonb NOT NULL,
        state text NOT NULL,
        error jsonb,
        start_steps jsonb NOT NULL DEFAULT '[]',
        last_active_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now()
      )`,
      "CREATE UNIQUE INDEX endpoints_one_primary ON endpoints (branch_id) WHERE kind = 'primary'",
      'CREATE INDEX endpoints_branch ON endpoints (branch_id)',
      `CREATE TABLE roles (
        project_id text NOT NULL REFERENCES projects (id),
        name text NOT NULL,
        verifier text,
        is_superuser boolean NOT NULL,
        may_create_databases boolean NOT NULL,
        may_create_roles boolean NOT NULL,
        is_deleted boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (project_id, name)
      )`,
      // Without references: an operation is known after what it was about has gone.
      `CREATE TABLE operations (
        id text PRIMARY KEY,
        kind text NOT NULL,
        project_id text NOT NULL,
        branch_id text,
        endpoint_id text,
        parameters jsonb NOT NULL,
        state text NOT NULL,
        step text,
        attempts integer NOT NULL DEFAULT 0,
        error jsonb,
        created_at timestamptz NOT NULL DEFAULT now(),
        finished_at timestamptz
      )`,
      "CREATE INDEX operations_unfinished ON operations (created_at) WHERE state IN ('running', 'undoing')",
      'CREATE INDEX operations_finished ON operations (finished_at) WHERE finished_at IS NOT NULL',
      `CREATE TABLE idempotency (
        key text PRIMARY KEY,
        request_hash text NOT NULL,
        started jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
      )`,
      'CREATE INDEX idempotency_age ON idempotency (created_at)',
    ],
  },
];
