import { VarveError } from '../../base/errors.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { ControlNode, NodeKind } from '../../contracts/control-api-status.ts';
import type { MembershipConfiguration, SafekeeperAddress } from '../../contracts/membership.ts';
import { PageserverClient } from '../../http/pageserver-client.ts';
import { SafekeeperClient } from '../../http/safekeeper-client.ts';
import type { Clock } from '../../io/clock.ts';
import type { Http } from '../../io/http.ts';
import type { Database } from '../database/database.ts';
import type { NodesTable } from '../database/tables.ts';

/** What the control plane shows of itself to the services, and whom it believes. */
export interface StorageAccess {
  readonly http: Http;
  readonly clock: Clock;
  /** Of the scope `pageserverapi`, where pageservers ask for one. */
  readonly pageserverToken?: () => Promise<string>;
  /** Of the scope `safekeeperdata`, likewise. */
  readonly safekeeperToken?: () => Promise<string>;
  /** PEM of the authorities that their certificates are from. */
  readonly authorities?: string;
  /** How long one answer may take; of a pageserver that makes a cluster the first time, several seconds. */
  readonly timeoutMs?: number;
}

/** A timeline's safekeeper. */
export interface Member {
  readonly address: SafekeeperAddress;
  readonly client: SafekeeperClient;
}

/** The pageserver that a tenant is attached to. */
export interface TenantPageserver {
  readonly node: ControlNode;
  readonly client: PageserverClient;
}

const TIMEOUT_DEFAULT_MS = 60_000;

/** The nodes that the database knows, and how to talk to them. */
export class StorageNodes {
  readonly #database: Database;
  readonly #access: StorageAccess;
  /** What the table has: nobody but this writes to it, as long as this control plane has the database. */
  #known: readonly ControlNode[] | undefined;

  constructor(database: Database, access: StorageAccess) {
    this.#database = database;
    this.#access = access;
  }

  async list(): Promise<readonly ControlNode[]> {
    if (this.#known !== undefined) return this.#known;
    const rows = await this.#database.query((queries) =>
      queries.selectFrom('nodes').selectAll().orderBy('kind').orderBy('id').execute(),
    );
    this.#known = rows.map(toNode);
    return this.#known;
  }

  /** A node has come, or has moved. */
  async put(node: ControlNode): Promise<void> {
    const { kind, id } = node;
    this.#known = undefined;
    const values = {
      pg_host: node.pgHost,
      pg_port: node.pgPort,
      http_url: node.httpUrl,
      is_schedulable: node.isSchedulable,
    };
    await this.#database.query((queries) =>
      queries
        .insertInto('nodes')
        .values({ kind, id, ...values })
        .onConflict((conflict) => conflict.columns(['kind', 'id']).doUpdateSet(values))
        .execute(),
    );
    this.#known = undefined;
  }

  pageserver(node: Pick<ControlNode, 'httpUrl'>): PageserverClient {
    return new PageserverClient(this.#options(node, this.#access.pageserverToken));
  }

  safekeeper(node: Pick<ControlNode, 'httpUrl'>): SafekeeperClient {
    return new SafekeeperClient(this.#options(node, this.#access.safekeeperToken));
  }

  /** @throws VarveError ‘not-found’ / TENANT_UNKNOWN; ‘unavailable’ / NODE_UNKNOWN */
  async pageserverOf(tenantId: TenantId): Promise<TenantPageserver> {
    const row = await this.#database.query((queries) =>
      queries
        .selectFrom('tenants')
        .where('tenant_id', '=', tenantId)
        .select('pageserver_id')
        .executeTakeFirst(),
    );
    if (row === undefined)
      throw new VarveError('not-found', 'TENANT_UNKNOWN', `there is no tenant ${tenantId}`);
    const { pageserver_id: id } = row;
    const node = (await this.list()).find((known) => known.kind === 'pageserver' && known.id === id);
    if (node === undefined) throw nodeUnknown('pageserver', id);
    return { node, client: this.pageserver(node) };
  }

  /** @throws VarveError ‘unavailable’ / NODE_UNKNOWN */
  async members(safekeeperIds: readonly number[]): Promise<Member[]> {
    const nodes = safekeepersOf(await this.list(), safekeeperIds);
    return nodes.map((node) => ({ address: addressOf(node), client: this.safekeeper(node) }));
  }

  /** Who keeps a timeline's WAL, where they are now. @throws VarveError ‘not-found’ / TIMELINE_UNKNOWN; as `members` */
  async membershipOf(timelineId: TimelineId): Promise<MembershipConfiguration> {
    const timeline = await this.#database.query((queries) =>
      queries
        .selectFrom('timelines')
        .where('timeline_id', '=', timelineId)
        .select(['membership_generation', 'safekeeper_ids'])
        .executeTakeFirst(),
    );
    if (timeline === undefined) {
      throw new VarveError('not-found', 'TIMELINE_UNKNOWN', `there is no timeline ${timelineId}`);
    }
    const nodes = safekeepersOf(await this.list(), timeline.safekeeper_ids);
    return {
      generation: timeline.membership_generation,
      members: nodes.map(addressOf),
      newMembers: undefined,
    };
  }

  #options(
    { httpUrl }: Pick<ControlNode, 'httpUrl'>,
    token: (() => Promise<string>) | undefined,
  ): ConstructorParameters<typeof PageserverClient>[0] {
    const { http, clock, authorities, timeoutMs = TIMEOUT_DEFAULT_MS } = this.#access;
    return {
      http,
      clock,
      baseUrl: httpUrl,
      timeoutMs,
      ...(token === undefined ? {} : { token }),
      ...(authorities === undefined
        ? {}
        : { trust: { authorities, serverName: new URL(httpUrl).hostname.replace(/^\[(.*)\]$/, '$1') } }),
    };
  }
}

/** @throws VarveError ‘unavailable’ / NODE_UNKNOWN */
function safekeepersOf(nodes: readonly ControlNode[], ids: readonly number[]): ControlNode[] {
  return ids.map((id) => {
    const node = nodes.find((known) => known.kind === 'safekeeper' && known.id === id);
    if (node === undefined) throw nodeUnknown('safekeeper', id);
    return node;
  });
}

const nodeUnknown = (kind: NodeKind, id: number): VarveError =>
  new VarveError(
    'unavailable',
    'NODE_UNKNOWN',
    `nothing is known of ${kind} ${id} any more: it must be named again`,
  );

const addressOf = ({ id, pgHost, pgPort }: ControlNode): SafekeeperAddress => ({ id, host: pgHost, pgPort });

const toNode = (row: NodesTable): ControlNode => ({
  kind: row.kind,
  id: row.id,
  pgHost: row.pg_host,
  pgPort: row.pg_port,
  httpUrl: row.http_url,
  isSchedulable: row.is_schedulable,
});
