import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../src/base/ids.ts';
import { formatLsn, type Lsn, parseLsn } from '../../src/base/lsn.ts';
import type { SafekeeperAddress } from '../../src/contracts/membership.ts';
import type { ShardTimelineKey, TimelineInfo } from '../../src/contracts/pageserver-api-timeline.ts';
import type { TimelineStatus } from '../../src/contracts/safekeeper-api.ts';
import type { StartSetForm } from '../../src/contracts/start-set.ts';
import { type TenantShardId, wholeTenant } from '../../src/contracts/tenant-shard-id.ts';
import { PageserverClient } from '../../src/http/pageserver-client.ts';
import { SafekeeperClient } from '../../src/http/safekeeper-client.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeHttp } from '../../src/io/node/http.ts';
import { copyFrom, PageServiceSource } from '../support/page-service-source.ts';
import { RestoredServer, unpackTar } from '../support/restored-server.ts';
import { layOutStartSet } from '../support/start-set-directory.ts';
import type { Setting, StockPostgres } from '../support/stock-postgres.ts';
import { VarveFamily, type VarveProcess, type VarveProcessOptions } from '../support/varve-process.ts';

const LOCAL = ['--listen-pg', '127.0.0.1:0', '--listen-http', '127.0.0.1:0'];
const SAFEKEEPERS = [1, 2, 3];
/** Of the configuration that `varve dev timeline create` gives a timeline. */
const MEMBERSHIP_GENERATION = 1;
const STANDBY_NAME = 'varve';
/** What makes a commit wait until safekeepers have it. */
const COMPUTE_SETTINGS: Readonly<Record<string, Setting>> = {
  synchronous_standby_names: STANDBY_NAME,
  synchronous_commit: 'on',
};
/** Of a server that only shows what there is. */
const VIEWER_SETTINGS: Readonly<Record<string, Setting>> = { synchronous_standby_names: '' };

export const signal = (): AbortSignal => AbortSignal.timeout(30_000);

interface Ready {
  readonly pg: { readonly port: number };
  readonly http: { readonly port: number };
}

interface Node {
  readonly process: VarveProcess;
  readonly ready: Ready;
}

/** A stock server whose WAL goes to safekeepers. */
export interface Compute extends AsyncDisposable {
  readonly server: StockPostgres;
  readonly proposer: VarveProcess;
}

const http = nodeHttp((error) => {
  throw error;
});

/** Three safekeepers, a pageserver, and a timeline, each process as a user would start it. */
export class VarveWorld implements AsyncDisposable {
  readonly directory: string;
  readonly tenantId: TenantId = parseTenantId('1'.repeat(32));
  readonly main: TimelineId = parseTimelineId('2'.repeat(32));
  readonly shard: TenantShardId = wholeTenant(this.tenantId);
  readonly #family: VarveFamily;
  readonly #safekeepers = new Map<number, Node>();
  #pageserver!: Node;

  private constructor(directory: string) {
    this.directory = directory;
    this.#family = new VarveFamily(directory);
  }

  /** @param safekeeperArgs for all of them */
  static async start(
    safekeeperArgs: readonly string[] = [],
    pageserverArgs: readonly string[] = [],
  ): Promise<VarveWorld> {
    const world = new VarveWorld(await mkdtemp(join(tmpdir(), 'varve-world-')));
    // Where we are root servers run as somebody else, in directories of their own below it.
    await chmod(world.directory, 0o711);
    try {
      await Promise.all(SAFEKEEPERS.map((id) => world.#startSafekeeper(id, safekeeperArgs)));
      await world.startPageserver(pageserverArgs);
      return world;
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #startSafekeeper(id: number, more: readonly string[]): Promise<void> {
    const directory = join(this.directory, `safekeeper-${id}`);
    const args = [
      'safekeeper',
      '--id',
      String(id),
      '--dir',
      directory,
      ...LOCAL,
      '--log-level',
      'warn',
      ...more,
    ];
    this.#safekeepers.set(id, await ready(this.#family.start(args)));
  }

  /** On the same directory each time. */
  async startPageserver(more: readonly string[] = []): Promise<void> {
    const directory = join(this.directory, 'pageserver');
    const args = [
      'pageserver',
      '--id',
      '1',
      '--dir',
      directory,
      ...LOCAL,
      '--safekeepers',
      this.#members,
      ...more,
    ];
    this.#pageserver = await ready(this.#family.start(args));
  }

  get pageserver(): VarveProcess {
    return this.#pageserver.process;
  }

  get pageserverPort(): number {
    return this.#pageserver.ready.pg.port;
  }

  get client(): PageserverClient {
    const baseUrl = `http://127.0.0.1:${this.#pageserver.ready.http.port}`;
    return new PageserverClient({ http, clock: nodeClock, baseUrl });
  }

  /** Of those that run. */
  get safekeeperIds(): number[] {
    return [...this.#safekeepers].filter(([, { process }]) => !process.isEnded).map(([id]) => id);
  }

  async killSafekeeper(id: number): Promise<void> {
    await this.#safekeeper(id).process.kill('SIGKILL');
  }

  /** Takes the quorum away until what is given is called: but for one, no safekeeper does anything. */
  pauseQuorum(): () => void {
    const paused = this.safekeeperIds.slice(1).map((id) => this.#safekeeper(id).process);
    for (const each of paused) each.signal('SIGSTOP');
    return () => {
      for (const each of paused) each.signal('SIGCONT');
    };
  }

  /** The one that a timeline's WAL comes from, by the address that the pageserver shows. */
  safekeeperAt(address: string | null | undefined): number | undefined {
    for (const [id, { ready }] of this.#safekeepers) if (address === `127.0.0.1:${ready.pg.port}`) return id;
    return undefined;
  }

  async safekeeperStatus(id: number, timelineId: TimelineId): Promise<TimelineStatus> {
    const key = { tenant_id: this.tenantId, timeline_id: timelineId };
    return await this.#safekeeperClient(id).timelineStatus(key, signal());
  }

  keyOf(timelineId: TimelineId): ShardTimelineKey {
    return { tenant_shard_id: this.shard, timeline_id: timelineId };
  }

  info(timelineId: TimelineId): Promise<TimelineInfo> {
    return this.client.timeline(this.keyOf(timelineId), signal());
  }

  /** Runs `varve dev timeline create` for the main timeline. Gives what it prints. */
  async createTimeline(): Promise<Record<string, unknown>> {
    const members = SAFEKEEPERS.map((id) => {
      const { pg, http } = this.#safekeeper(id).ready;
      return `${id}=127.0.0.1:${pg.port}/${http.port}`;
    });
    const process = this.#family.start([
      ...['dev', 'timeline', 'create', '--tenant', this.tenantId, '--timeline', this.main],
      ...['--pageserver', `http://127.0.0.1:${this.#pageserver.ready.http.port}`],
      ...['--safekeepers', members.join(',')],
    ]);
    return await process.line();
  }

  /** Begins a branch, whose WAL the safekeepers are to keep. */
  async createBranch(timelineId: TimelineId, ancestorId: TimelineId, lsn: Lsn): Promise<TimelineInfo> {
    const request = {
      new_timeline_id: timelineId,
      ancestor_timeline_id: ancestorId,
      ancestor_start_lsn: lsn,
    };
    const info = await this.client.createBranch(this.shard, request, signal());
    for (const id of this.safekeeperIds) {
      const { mconf, pg_info } = await this.safekeeperStatus(id, ancestorId);
      await this.#safekeeperClient(id).createTimeline(
        {
          ...{ tenant_id: this.tenantId, timeline_id: timelineId, mconf, ...pg_info },
          start_lsn: info.last_record_lsn,
        },
        signal(),
      );
    }
    return info;
  }

  /** Waits until the pageserver has a timeline's WAL up to there. */
  async received(timelineId: TimelineId, lsn: Lsn): Promise<void> {
    const result = await this.client.waitLsn(this.shard, new Map([[timelineId, lsn]]), 20_000, signal());
    if (result !== 'all') {
      const { walreceiver_status, last_record_lsn } = await this.info(timelineId);
      throw new Error(`no WAL up to ${formatLsn(lsn)}: ${formatLsn(last_record_lsn)}, ${walreceiver_status}`);
    }
  }

  /** A stock server on a full backup, started. */
  async restore(timelineId: TimelineId, lsn?: Lsn): Promise<RestoredServer> {
    return await this.#restore(timelineId, lsn, VIEWER_SETTINGS);
  }

  /** A stock server on a start set and pages that were asked for one by one, started. */
  async restoreStartSet(
    timelineId: TimelineId,
    form: StartSetForm,
    settings: Readonly<Record<string, Setting>> = VIEWER_SETTINGS,
  ): Promise<RestoredServer> {
    const { pageserverPort: port, tenantId } = this;
    await using source = await PageServiceSource.connect({ port, tenantId, timelineId });
    const restored = await RestoredServer.create(async (directory) => {
      await rm(directory, { recursive: true });
      await layOutStartSet(source, undefined, form, directory);
      await writeFile(join(directory, 'pg_hba.conf'), 'local all all trust\nlocal replication all trust\n');
      await writeFile(join(directory, 'pg_ident.conf'), '');
    }, settings);
    await startOrDispose(restored);
    return restored;
  }

  /** A compute of the timeline, on a full backup. */
  async startCompute(timelineId: TimelineId): Promise<Compute> {
    return await this.#compute(timelineId, await this.#restore(timelineId, undefined, COMPUTE_SETTINGS));
  }

  /** A compute of the timeline, on a start set. */
  async startComputeOnStartSet(timelineId: TimelineId): Promise<Compute> {
    const restored = await this.restoreStartSet(timelineId, 'primary', COMPUTE_SETTINGS);
    return await this.#compute(timelineId, restored);
  }

  /** Runs `varve compute`. It may not be ready yet. */
  spawnCompute(
    timelineId: TimelineId,
    name: string,
    args: readonly string[] = [],
    options: VarveProcessOptions = {},
  ): VarveProcess {
    const command = [
      ...['compute', '--tenant', this.tenantId, '--timeline', timelineId],
      ...['--pageserver', `127.0.0.1:${this.pageserverPort}`],
      ...['--safekeepers', this.#members, '--generation', String(MEMBERSHIP_GENERATION)],
      ...['--dir', join(this.directory, name), '--listen', '127.0.0.1:0', ...args],
    ];
    return this.#family.start(command, options);
  }

  /** Runs `varve proposer run` for a server. It may be refused. */
  spawnProposer(timelineId: TimelineId, server: StockPostgres): VarveProcess {
    return this.#family.start([
      ...['proposer', 'run', '--tenant', this.tenantId, '--timeline', timelineId],
      ...['--safekeepers', this.#members, '--generation', String(MEMBERSHIP_GENERATION)],
      ...['--postgres', `host=${server.socketDirectory} port=${server.port} user=postgres`],
      ...['--application-name', STANDBY_NAME],
    ]);
  }

  /** As a configuration names them. */
  get members(): SafekeeperAddress[] {
    return SAFEKEEPERS.map((id) => ({ id, host: '127.0.0.1', pgPort: this.#safekeeper(id).ready.pg.port }));
  }

  /** libpq doors of those safekeepers that run. */
  get safekeeperPorts(): number[] {
    return this.safekeeperIds.map((id) => this.#safekeeper(id).ready.pg.port);
  }

  async #restore(
    timelineId: TimelineId,
    lsn: Lsn | undefined,
    settings: Readonly<Record<string, Setting>>,
  ): Promise<RestoredServer> {
    const { pageserverPort: port, tenantId } = this;
    const command = { kind: 'FullBackup', tenantId, timelineId } as const;
    const restored = await RestoredServer.create(async (directory) => {
      await unpackTar(copyFrom({ port }, lsn === undefined ? command : { ...command, lsn }), directory);
    }, settings);
    await startOrDispose(restored);
    return restored;
  }

  async #compute(timelineId: TimelineId, restored: RestoredServer): Promise<Compute> {
    const { server } = restored;
    const proposer = this.spawnProposer(timelineId, server);
    const compute = {
      server,
      proposer,
      [Symbol.asyncDispose]: async () => {
        await proposer.kill('SIGKILL');
        await restored[Symbol.asyncDispose]();
      },
    };
    try {
      await proposer.line();
      return compute;
    } catch (error) {
      await compute[Symbol.asyncDispose]();
      throw error;
    }
  }

  get #members(): string {
    return SAFEKEEPERS.map((id) => `${id}=127.0.0.1:${this.#safekeeper(id).ready.pg.port}`).join(',');
  }

  #safekeeper(id: number): Node {
    const node = this.#safekeepers.get(id);
    if (node === undefined) throw new Error(`there is no safekeeper ${id}`);
    return node;
  }

  #safekeeperClient(id: number): SafekeeperClient {
    const baseUrl = `http://127.0.0.1:${this.#safekeeper(id).ready.http.port}`;
    return new SafekeeperClient({ http, clock: nodeClock, baseUrl });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#family[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Up to where all of its commits are. */
export async function flushedLsn(server: StockPostgres): Promise<Lsn> {
  const [row] = await server.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn() AS lsn');
  return parseLsn(row?.lsn ?? '');
}

async function ready(process: VarveProcess): Promise<Node> {
  return { process, ready: await process.line<Ready>() };
}

async function startOrDispose(restored: RestoredServer): Promise<void> {
  try {
    await restored.server.start();
  } catch (error) {
    await restored[Symbol.asyncDispose]();
    throw error;
  }
}
