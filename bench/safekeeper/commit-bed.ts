import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SafekeeperAddress } from '../../src/contracts/membership.ts';
import type { StockPostgres } from '../../test/support/stock-postgres.ts';
import type { HostUsage, SyncMode } from './host-messages.ts';
import { HostProcess } from './host-process.ts';
import { reconfigure, untilSynchronous } from './stock-servers.ts';

/** Where the safekeepers and the proposer run: all in one process, or each in its own. */
export type Layout = 'one process' | 'processes';

const APPLICATION_NAME = 'varve_proposer';

let timelines = 0;

/** Safekeepers that the server's commits wait for, through a proposer. */
export class CommitBed implements AsyncDisposable {
  readonly safekeepers: number;
  readonly #server: StockPostgres;
  readonly #directory: string;
  readonly #hosts: HostProcess[] = [];

  private constructor(server: StockPostgres, directory: string, safekeepers: number) {
    this.#server = server;
    this.#directory = directory;
    this.safekeepers = safekeepers;
  }

  static async start(
    server: StockPostgres,
    parentDirectory: string,
    options: { readonly safekeepers: number; readonly layout: Layout; readonly sync: SyncMode },
  ): Promise<CommitBed> {
    const timelineId = (++timelines).toString(16).padStart(32, '0');
    const bed = new CommitBed(server, join(parentDirectory, timelineId), options.safekeepers);
    try {
      await bed.#start(options.layout, options.sync, timelineId);
      return bed;
    } catch (error) {
      await bed[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Of all of it, since it was started. */
  async usage(): Promise<HostUsage> {
    const all = await Promise.all(this.#hosts.map((host) => host.ask('usage', { collects: false })));
    return all.reduce((sum, each) => ({
      syncs: sum.syncs + each.syncs,
      syncMs: sum.syncMs + each.syncMs,
      cpuMs: sum.cpuMs + each.cpuMs,
      loopCpuMs: sum.loopCpuMs + each.loopCpuMs,
      rssBytes: sum.rssBytes + each.rssBytes,
      heapBytes: sum.heapBytes + each.heapBytes,
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await reconfigure(this.#server, { synchronous_standby_names: '' });
    await Promise.all(this.#hosts.map((host) => host[Symbol.asyncDispose]()));
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #start(layout: Layout, sync: SyncMode, timelineId: string): Promise<void> {
    const profile = process.env['BENCH_HOST_ARGUMENTS']?.split(' ') ?? [];
    const makeHost = (): HostProcess => {
      const host = new HostProcess(profile);
      this.#hosts.push(host);
      return host;
    };
    const shared = makeHost();
    const members: SafekeeperAddress[] = [];
    for (let nodeId = 1; nodeId <= this.safekeepers; nodeId++) {
      const host = layout === 'one process' ? shared : makeHost();
      const directory = join(this.#directory, String(nodeId));
      const { port } = await host.ask('startSafekeeper', { nodeId, directory, sync });
      members.push({ id: nodeId, host: '127.0.0.1', pgPort: port });
    }
    const { socketDirectory, port } = this.#server;
    await shared.ask('startProposer', {
      members,
      tenantId: '1'.padStart(32, '0'),
      timelineId,
      socketPath: join(socketDirectory, `.s.PGSQL.${port}`),
      user: 'postgres',
      applicationName: APPLICATION_NAME,
    });
    await reconfigure(this.#server, { synchronous_standby_names: APPLICATION_NAME });
    await untilSynchronous(this.#server, APPLICATION_NAME);
  }
}
