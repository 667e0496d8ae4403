import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../src/base/ids.ts';
import { formatLsn, type Lsn } from '../../src/base/lsn.ts';
import { CONTROL_FILE_PATH, decodeControlFile } from '../../src/postgres/files/control-file.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { copyDirectory } from '../support/cluster-template.ts';
import { ProcessGuard } from '../support/process-guard.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { VarveFamily } from '../support/varve-process.ts';
import type { Ledger } from './ledger.ts';
import { createLoadTables } from './load.ts';
import { findLastingPort } from './local-port.ts';
import { ProposerNode } from './proposer-node.ts';
import { SafekeeperNode } from './safekeeper-node.ts';
import { SmallDisk } from './small-disk.ts';

const SAFEKEEPERS = 3;
const APPLICATION_NAME = 'varve';
const SLOT = 'varve';
const TENANT = parseTenantId('5a'.repeat(16));
const TIMELINE = parseTimelineId('7e'.repeat(16));

/**
 * Commits wait for the proposer. All WAL stays in pg_wal, to compare the safekeepers' with. Without fsync: processes
 * die here, machines do not, and what a process has written survives it. Full-page writes stay on, since a process
 * that is killed may tear a page.
 */
const SERVER_SETTINGS = {
  fsync: false,
  synchronous_standby_names: APPLICATION_NAME,
  synchronous_commit: true,
  wal_keep_size: '64GB',
  checkpoint_timeout: '30s',
  max_wal_size: '256MB',
};

export interface WalClusterOptions {
  readonly random: SeededRandom;
  readonly ledger: Ledger;
  readonly segmentSizeMiB: number;
  /** Of the disk of the last safekeeper. */
  readonly smallDiskBytes: number;
}

/**
 * A stock server whose commits wait for `varve proposer run`, and three `varve safekeeper`: all of them processes of
 * their own.
 *
 * The server that is killed is started again in place. That is no compute of ours, which would start from what the
 * safekeepers have; but it is sound: only this server ever writes the timeline, and what it has sent to somebody was
 * written to its pg_wal before, so that its recovery finds the same bytes and goes on behind them. Where a new compute
 * would start is tested all the same: each election must find what was acknowledged before it (Ledger).
 */
export class WalCluster implements AsyncDisposable {
  readonly tenantId: TenantId = TENANT;
  readonly timelineId: TimelineId = TIMELINE;
  readonly safekeepers: readonly SafekeeperNode[];
  readonly server: StockPostgres;
  readonly proposer: ProposerNode;
  /** Where the timeline begins: the checkpoint that the copy of the data directory starts from. */
  readonly startLsn: Lsn;
  readonly segmentBytes: number;
  /** The disk of the last safekeeper, or why it is a usual one. */
  readonly smallDisk: SmallDisk | string;
  readonly #resources: AsyncDisposableStack;

  private constructor(
    parts: Pick<
      WalCluster,
      'safekeepers' | 'server' | 'proposer' | 'startLsn' | 'segmentBytes' | 'smallDisk'
    >,
    resources: AsyncDisposableStack,
  ) {
    this.safekeepers = parts.safekeepers;
    this.server = parts.server;
    this.proposer = parts.proposer;
    this.startLsn = parts.startLsn;
    this.segmentBytes = parts.segmentBytes;
    this.smallDisk = parts.smallDisk;
    this.#resources = resources;
  }

  /** Starts all of it. */
  static async start(options: WalClusterOptions): Promise<WalCluster> {
    const { random, ledger, segmentSizeMiB, smallDiskBytes } = options;
    await using starting = new AsyncDisposableStack();
    const directory = await mkdtemp(join(tmpdir(), 'varve-torture-'));
    starting.defer(() => rm(directory, { recursive: true, force: true }));
    const family = starting.use(new VarveFamily(directory));
    const diskDirectory = join(directory, 'disk');
    const smallDisk = await SmallDisk.mount(diskDirectory, smallDiskBytes, family.environment);
    if (typeof smallDisk !== 'string') starting.use(smallDisk);
    const safekeepers: SafekeeperNode[] = [];
    for (let id = 1; id <= SAFEKEEPERS; id++) {
      const pgPort = await findLastingPort(random);
      const httpPort = await findLastingPort(random);
      const isSmall = id === SAFEKEEPERS && typeof smallDisk !== 'string';
      const node = new SafekeeperNode(family, {
        ...{ id, pgPort, httpPort },
        directory: isSmall ? join(smallDisk.directory, 'wal') : join(directory, `safekeeper${id}`),
        ...(isSmall ? { wrapper: smallDisk.wrapper } : {}),
      });
      safekeepers.push(node);
      await node.start();
    }
    const { server, startLsn } = await startServer(starting, segmentSizeMiB);
    const proposer = new ProposerNode(
      family,
      [
        ...['--tenant', TENANT, '--timeline', TIMELINE],
        ...['--safekeepers', safekeepers.map(({ member }) => member).join(',')],
        ...['--postgres', `host=${server.socketDirectory} port=${server.port} user=postgres`],
        ...['--application-name', APPLICATION_NAME, '--slot', SLOT],
        ...['--initial-lsn', formatLsn(startLsn)],
      ],
      ledger,
    );
    proposer.start();
    const segmentBytes = segmentSizeMiB * 1024 * 1024;
    return new WalCluster(
      { safekeepers, server, proposer, startLsn, segmentBytes, smallDisk },
      starting.move(),
    );
  }

  /** The data directory when the timeline began. */
  get initialDirectory(): string {
    return join(this.server.rootDirectory, 'initial');
  }

  /** What must not have happened to a process. */
  get failure(): Error | undefined {
    return this.proposer.failure ?? this.safekeepers.find(({ failure }) => failure !== undefined)?.failure;
  }

  /** Shuts the server down, for good. */
  async stopServer(): Promise<void> {
    await this.server.stop('fast');
    // A server that runs has a guard of its own, which removes its directory if we are killed.
    const guard = new ProcessGuard(this.server.rootDirectory);
    this.#resources.defer(() => guard.release());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** A server with the tables of the load, and a copy of its data directory from where its WAL goes to the safekeepers. */
async function startServer(
  resources: AsyncDisposableStack,
  segmentSizeMiB: number,
): Promise<{ server: StockPostgres; startLsn: Lsn }> {
  const server = await StockPostgres.create({
    major: 17,
    segmentSizeMiB,
    settings: { ...SERVER_SETTINGS, synchronous_standby_names: '' },
  });
  resources.use(server);
  await server.start();
  await createLoadTables(server);
  await server.stop('fast');
  const initialDirectory = join(server.rootDirectory, 'initial');
  await copyDirectory(server.dataDirectory, initialDirectory);
  const control = decodeControlFile(POSTGRES_17, await readFile(join(initialDirectory, CONTROL_FILE_PATH)));
  await server.changeSettings(SERVER_SETTINGS);
  await server.start();
  await server.query('SELECT pg_create_physical_replication_slot($1, true)', [SLOT]);
  return { server, startLsn: control.checkPoint as Lsn };
}
