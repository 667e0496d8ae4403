import type { StockPostgres } from '../../test/support/stock-postgres.ts';
import { formatNumber, formatTable } from '../support/table.ts';
import { CommitBed, type Layout } from './commit-bed.ts';
import type { SyncMode } from './host-messages.ts';
import { LoadProcess } from './load-process.ts';
import { reconfigure, startPrimary, startStandby } from './stock-servers.ts';

export interface CommitsOptions {
  readonly seconds: number;
  readonly pgBin: string | undefined;
  /** One way only of each kind. */
  readonly isQuick: boolean;
}

export interface CommitResult {
  readonly name: string;
  readonly clients: number;
  readonly commitsPerS: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Beyond the same server alone without a sync, with as many clients. */
  readonly addedP50Us: number;
  readonly addedP99Us: number;
  /** Of one safekeeper. */
  readonly syncsPerCommit: number | undefined;
  /** Of safekeepers and proposer together, all threads. */
  readonly cpuUsPerCommit: number | undefined;
}

export interface CommitsResult {
  readonly postgres: string;
  readonly results: readonly CommitResult[];
  readonly skipped: readonly string[];
}

const CLIENTS = [1, 16] as const;
/** As long as it is measured, but at least so long: until code is compiled, each commit takes twice its time. */
const WARM_UP_MS_MIN = 400;
const INJECTED_SYNC_MS = 1;
const SKIPPED = [
  'stock servers with a sync of 1 ms: their syncs go to the kernel by themselves, and nothing of theirs makes one slower',
];

type Measured = Pick<
  CommitResult,
  'clients' | 'commitsPerS' | 'p50Us' | 'p99Us' | 'syncsPerCommit' | 'cpuUsPerCommit'
>;

/** What a small transaction's commit costs beyond that of the same server alone. */
export async function measureCommits(
  directory: string,
  options: CommitsOptions,
  progress: (text: string) => void,
): Promise<CommitsResult> {
  await using server = await startPrimary(options.pgBin);
  await using load = new LoadProcess();
  const meter = new CommitMeter(server, load, options.seconds, progress);
  await meter.measure('alone, fsync off');
  if (!options.isQuick) {
    await reconfigure(server, { fsync: true });
    await meter.measure('alone, fsync on');
    await reconfigure(server, { fsync: false });
    for (const fsync of [false, true]) {
      await using _standby = await startStandby(server, fsync);
      await meter.measure(`stock standby, fsync ${fsync ? 'on' : 'off'}`);
      await reconfigure(server, { synchronous_standby_names: '' });
    }
  }
  for (const { safekeepers, sync, layout } of ways(options.isQuick)) {
    await using bed = await CommitBed.start(server, directory, { safekeepers, layout, sync });
    await meter.measure(
      `${safekeepers} safekeeper${safekeepers > 1 ? 's' : ''}, ${describe(sync)}, ${layout}`,
      bed,
    );
  }
  const [row] = await server.query<{ version: string }>(
    "SELECT current_setting('server_version') AS version",
  );
  // Alone again: the machine may have become another one meanwhile.
  await meter.measure('alone, fsync off, again');
  return { postgres: row?.version ?? '', results: meter.results, skipped: SKIPPED };
}

interface Way {
  readonly safekeepers: number;
  readonly sync: SyncMode;
  readonly layout: Layout;
}

function ways(isQuick: boolean): readonly Way[] {
  if (isQuick) return [{ safekeepers: 3, sync: 'off', layout: 'one process' }];
  return (['off', 'real', INJECTED_SYNC_MS] as const).flatMap((sync) =>
    [1, 3].flatMap((safekeepers) =>
      (['one process', 'processes'] as const).map((layout) => ({ safekeepers, sync, layout })),
    ),
  );
}

function describe(sync: SyncMode): string {
  if (sync === 'off') return 'no sync';
  return sync === 'real' ? 'sync' : `sync + ${sync} ms`;
}

class CommitMeter {
  readonly results: CommitResult[] = [];
  readonly #server: StockPostgres;
  readonly #load: LoadProcess;
  readonly #seconds: number;
  readonly #progress: (text: string) => void;
  readonly #base = new Map<number, Measured>();

  constructor(server: StockPostgres, load: LoadProcess, seconds: number, progress: (text: string) => void) {
    this.#server = server;
    this.#load = load;
    this.#seconds = seconds;
    this.#progress = progress;
  }

  /** The first one is what the others are compared to. */
  async measure(name: string, bed?: CommitBed): Promise<void> {
    this.#progress(`commits: ${name}`);
    for (const clients of CLIENTS) {
      const measured = await this.#run(clients, bed);
      const base = this.#base.get(clients) ?? measured;
      this.#base.set(clients, base);
      this.results.push({
        name,
        ...measured,
        addedP50Us: measured.p50Us - base.p50Us,
        addedP99Us: measured.p99Us - base.p99Us,
      });
    }
  }

  async #run(clients: number, bed: CommitBed | undefined): Promise<Measured> {
    const before = await bed?.usage();
    const { commitsPerS, p50Us, p99Us, allCommits } = await this.#load.run({
      config: this.#server.clientConfig(),
      clients,
      warmUpMs: Math.max(WARM_UP_MS_MIN, this.#seconds * 1000),
      measuredMs: this.#seconds * 1000,
    });
    const after = await bed?.usage();
    const common = { clients, commitsPerS, p50Us, p99Us };
    if (bed === undefined || before === undefined || after === undefined) {
      return { ...common, syncsPerCommit: undefined, cpuUsPerCommit: undefined };
    }
    return {
      ...common,
      syncsPerCommit: (after.syncs - before.syncs) / allCommits / bed.safekeepers,
      cpuUsPerCommit: ((after.cpuMs - before.cpuMs) * 1000) / allCommits,
    };
  }
}

export function formatCommits({ results, skipped }: CommitsResult): string {
  const rows = results.map((result) => [
    result.name,
    String(result.clients),
    formatNumber(result.commitsPerS),
    formatNumber(result.p50Us),
    formatNumber(result.p99Us),
    formatNumber(result.addedP50Us),
    formatNumber(result.addedP99Us),
    result.syncsPerCommit === undefined ? '' : formatNumber(result.syncsPerCommit),
    result.cpuUsPerCommit === undefined ? '' : formatNumber(result.cpuUsPerCommit),
  ]);
  const header = ['commit of one INSERT, µs', 'clients', 'TPS', 'p50', 'p99', '+p50', '+p99'];
  const table = formatTable([...header, 'syncs/commit', 'CPU µs/commit'], rows);
  const notes = [
    '+p50, +p99: beyond the first line; syncs/commit: of one safekeeper; CPU: of safekeepers and proposer',
    ...skipped.map((text) => `skipped: ${text}`),
  ];
  return [table, ...notes].join('\n');
}
