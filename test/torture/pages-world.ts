import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { VarveError } from '../../src/base/errors.ts';
import type { TenantId, TimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import type { LocationConfig } from '../../src/contracts/pageserver-api-config.ts';
import type { DetachBehavior, ShardTimelineKey } from '../../src/contracts/pageserver-api-timeline.ts';
import type { TenantConfig } from '../../src/contracts/tenant-config.ts';
import { formatTenantShardId, wholeTenant } from '../../src/contracts/tenant-shard-id.ts';
import type { PageserverClient } from '../../src/http/pageserver-client.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { MODEL_START } from '../engine/model-cluster.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import { VarveFamily } from '../support/varve-process.ts';
import { findLastingPort } from './local-port.ts';
import { archiveModelCluster } from './paged-cluster.ts';
import { PagedWal } from './paged-wal.ts';
import { PagesProcess } from './pages-process.ts';
import type { ProbedTime } from './pages-usage.ts';
import { SafekeeperNode } from './safekeeper-node.ts';

const KIBIBYTE = 1024;
/** Layers are frozen, compacted and made anew all the time. */
const TENANT_CONFIG: TenantConfig = {
  checkpoint_distance: 64 * KIBIBYTE,
  compaction_target_size: 128 * KIBIBYTE,
  compaction_threshold: 3,
  image_creation_threshold: 2,
};
/** What was asked for before is still being done. */
const BUSY = ['TIMELINE_BUSY', 'TIMELINE_BEING_CREATED', 'TENANT_BUSY'];
const ATTEMPTS_MS = 60_000;
const RETRY_MS = 20;
const WAL_WAIT_MS = 10_000;

export interface TimelinePlace {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
}

const keyOf = ({ tenantId, timelineId }: TimelinePlace): ShardTimelineKey => ({
  tenant_shard_id: wholeTenant(tenantId),
  timeline_id: timelineId,
});

const locationOf = (mode: 'AttachedSingle' | 'Detached'): LocationConfig => ({
  ...{ mode, shard_number: 0, shard_count: 0, tenant_conf: mode === 'Detached' ? {} : TENANT_CONFIG },
});

const isCode = (error: unknown, ...codes: string[]): boolean =>
  error instanceof VarveError && codes.includes(error.code);

/**
 * A pageserver and a safekeeper, each as an operator would start it, and all that a control plane asks of the pageserver.
 * It may be killed at any moment: what is asked for then is asked for again, until it is done.
 */
export class PagesWorld implements AsyncDisposable {
  readonly port: number;
  readonly pageserver: PagesProcess;
  readonly wal: PagedWal;
  readonly #safekeeper: SafekeeperNode;
  readonly #archive: readonly Uint8Array[];
  readonly #resources: AsyncDisposableStack;

  private constructor(
    parts: Pick<PagesWorld, 'port' | 'pageserver' | 'wal'>,
    safekeeper: SafekeeperNode,
    archive: readonly Uint8Array[],
    resources: AsyncDisposableStack,
  ) {
    this.port = parts.port;
    this.pageserver = parts.pageserver;
    this.wal = parts.wal;
    this.#safekeeper = safekeeper;
    this.#archive = archive;
    this.#resources = resources;
  }

  static async start(random: SeededRandom): Promise<PagesWorld> {
    await using starting = new AsyncDisposableStack();
    const directory = await mkdtemp(join(tmpdir(), 'varve-torture-'));
    starting.defer(() => rm(directory, { recursive: true, force: true }));
    const family = starting.use(new VarveFamily(directory));
    const place = async () => ({
      pgPort: await findLastingPort(random),
      httpPort: await findLastingPort(random),
    });
    const ports = { id: 1, ...(await place()) };
    const safekeeper = new SafekeeperNode(family, { ...ports, directory: join(directory, 'safekeeper') });
    await safekeeper.start();
    const pageserver = new PagesProcess(family, {
      ...(await place()),
      directory: join(directory, 'pageserver'),
      safekeepers: safekeeper.member,
      probePath: join(directory, 'probe'),
    });
    await pageserver.start();
    const wal = starting.use(new PagedWal({ ...ports, host: '127.0.0.1' }, safekeeper.client));
    const archive = await archiveModelCluster();
    const parts = { port: pageserver.pgPort, pageserver, wal };
    return new PagesWorld(parts, safekeeper, archive, starting.move());
  }

  /** What went wrong in the processes though nobody had killed them. */
  get failures(): readonly string[] {
    const { failure } = this.#safekeeper;
    return [...this.pageserver.failures, ...(failure === undefined ? [] : [failure.message])];
  }

  async attach(tenantId: TenantId): Promise<void> {
    const location = locationOf('AttachedSingle');
    await this.#insist((client, signal) => client.setLocation(wholeTenant(tenantId), location, 0, signal));
  }

  async detach(tenantId: TenantId): Promise<ProbedTime | undefined> {
    const shard = wholeTenant(tenantId);
    const location = locationOf('Detached');
    const path = `/v1/tenant/${formatTenantShardId(shard)}/location_config?flush_ms=0`;
    return await this.#timed(`PUT ${path}`, () =>
      this.#insist((client, signal) => client.setLocation(shard, location, 0, signal)),
    );
  }

  /** A timeline of the model's cluster. */
  async create(place: TimelinePlace): Promise<void> {
    const { tenantId: tenant_id, timelineId: timeline_id } = place;
    const query = { base_lsn: MODEL_START, end_lsn: MODEL_START, pg_version: POSTGRES_17.major };
    const pieces = this.#archive;
    await this.#insist(async (client, signal) => {
      const tar = (async function* () {
        yield* pieces;
      })();
      await client.importBaseBackup({ tenant_id, timeline_id }, query, tar, signal).catch((error) => {
        // It had been made, and nobody heard of it.
        if (!isCode(error, 'TIMELINE_EXISTS')) throw error;
      });
    });
  }

  async branch(place: TimelinePlace, parentId: TimelineId, lsn: Lsn): Promise<void> {
    const shard = wholeTenant(place.tenantId);
    const request = {
      new_timeline_id: place.timelineId,
      ancestor_timeline_id: parentId,
      ancestor_start_lsn: lsn,
    };
    await this.#insist(async (client, signal) => {
      await client.waitLsn(shard, new Map([[parentId, lsn]]), WAL_WAIT_MS, signal);
      await client.createBranch(shard, request, signal);
    });
  }

  async remove(place: TimelinePlace): Promise<ProbedTime | undefined> {
    const key = keyOf(place);
    const path = `/v1/tenant/${formatTenantShardId(key.tenant_shard_id)}/timeline/${key.timeline_id}`;
    const remove = (client: PageserverClient, signal: AbortSignal): Promise<void> =>
      client.deleteTimeline(key, signal).catch((error) => {
        // It had gone, and nobody heard of it.
        if (!isCode(error, 'TIMELINE_NOT_FOUND')) throw error;
      });
    const time = await this.#timed(`DELETE ${path}`, () => this.#insist(remove));
    await this.wal.end(place.timelineId);
    return time;
  }

  /** Gives the other branches of the ancestor that are now such of this timeline. */
  async detachAncestor(place: TimelinePlace, behavior: DetachBehavior): Promise<readonly TimelineId[]> {
    const result = await this.#insist((client, signal) =>
      client.detachAncestor(keyOf(place), behavior, signal),
    );
    return result.reparented_timelines;
  }

  /** `kill -9`, and a new process. */
  async killPageserver(): Promise<void> {
    await this.pageserver.kill();
    await this.pageserver.start();
  }

  async #insist<Answer>(
    action: (client: PageserverClient, signal: AbortSignal) => Promise<Answer>,
  ): Promise<Answer> {
    const signal = AbortSignal.timeout(ATTEMPTS_MS);
    for (;;) {
      try {
        return await action(this.pageserver.client, signal);
      } catch (error) {
        const isPassing =
          (error instanceof VarveError && error.kind === 'unavailable') || isCode(error, ...BUSY);
        if (!isPassing || signal.aborted) throw error;
      }
      await delay(RETRY_MS);
    }
  }

  /** Makes a request until it is done. Gives how long that took; undefined: the pageserver was killed meanwhile. */
  async #timed(request: string, make: () => Promise<unknown>): Promise<ProbedTime | undefined> {
    const { pageserver } = this;
    const pid = pageserver.isRunning ? pageserver.pid : undefined;
    await make();
    const isSame = (): boolean => pid !== undefined && pageserver.isRunning && pageserver.pid === pid;
    if (!isSame()) return undefined;
    try {
      const time = await pageserver.requestTime(request);
      if (time === undefined) throw new Error(`the pageserver has seen no ${request}`);
      return time;
    } catch (error) {
      if (isSame()) throw error;
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
