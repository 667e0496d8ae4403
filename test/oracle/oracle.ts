import { resourceManagers } from '../../src/postgres/rmgr/resource-managers.ts';
import { getPostgresVersion } from '../../src/postgres/versions/version.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { compareCounters } from './compare-counters.ts';
import { compareDirectory, type DirectoryComparison } from './compare-directory.ts';
import { compareOrigins } from './compare-origins.ts';
import { compareRecovery } from './compare-recovery.ts';
import type { KindStatistics } from './record-statistics.ts';
import { type Mismatch, Replay } from './replay.ts';
import { ReplayedCluster } from './replayed-cluster.ts';
import type { SampleCollector } from './sample-collector.ts';
import { recoverByServer } from './server-recovery.ts';
import { runWorkload } from './workload.ts';
import type { WorkloadStatistics } from './workload-control.ts';
import type { WalCompression } from './workload-settings.ts';

export interface OracleOptions {
  readonly seconds: number;
  readonly major: number;
  readonly seed: number;
  readonly pgBin?: string;
  readonly sqlDirectory?: string;
  readonly exec?: string;
  readonly sessions?: number;
  readonly compression?: WalCompression;
  readonly fullPageWrites?: boolean;
  readonly onProgress?: (text: string) => void;
  readonly onMismatch?: (mismatch: Mismatch) => void;
  readonly samples?: SampleCollector;
}

export interface OracleResult {
  readonly rows: readonly KindStatistics[];
  /** Record kinds that no record of the run was of. */
  readonly unseen: readonly { readonly resourceManager: string; readonly kind: string }[];
  readonly records: number;
  readonly pages: number;
  /** Pages that differed right after a record, and all that differed at the end. */
  readonly mismatches: number;
  /** What differed from the stopped server's directory, or from what the server's own replay makes of the WAL. */
  readonly differences: readonly string[];
  readonly directory: DirectoryComparison;
  /** Pages compared with what the server's own replay of the WAL makes of them. */
  readonly recoveredPages: number;
  readonly workload: WorkloadStatistics;
  readonly replaySeconds: number;
  /** `oracle: records=N pages=N mismatches=N kinds_seen=N kinds_unseen=N` */
  readonly summary: string;
}

/**
 * Runs a workload against a stock server, replays all its WAL from the initial cluster, and compares: each page with
 * the image that its record carries, and at the end everything with the directory of the stopped server, and once
 * more, without any mask, with what the server itself makes of the initial cluster when it replays the same WAL.
 */
export async function runOracle(options: OracleOptions): Promise<OracleResult> {
  const version = getPostgresVersion(options.major);
  await using server = await StockPostgres.create({
    major: 17,
    ...(options.pgBin === undefined ? {} : { pgBin: options.pgBin }),
  });
  const { seconds, seed, sqlDirectory, exec, sessions, compression, fullPageWrites, onProgress } = options;
  const workload = await runWorkload({
    server,
    seconds,
    seed,
    ...(sqlDirectory === undefined ? {} : { sqlDirectory }),
    ...(exec === undefined ? {} : { exec }),
    ...(sessions === undefined ? {} : { sessions }),
    ...(compression === undefined ? {} : { compression }),
    ...(fullPageWrites === undefined ? {} : { fullPageWrites }),
    onProgress: (progress) => {
      const megabytes = Math.round(progress.walBytes / 1e6);
      onProgress?.(
        `workload: ${Math.round(progress.elapsedSeconds)} of ${seconds} s, ${megabytes} MB of WAL, ${progress.stops} kills`,
      );
    },
  });
  const theirs = ReplayedCluster.read(workload.finalDirectory, version);
  const ours = ReplayedCluster.read(workload.initialDirectory, version);
  const started = performance.now();
  const replay = new Replay({
    cluster: ours,
    walDirectory: workload.walDirectory,
    lastRecordLsn: theirs.control.checkPoint,
    onMismatch: options.onMismatch ?? (() => undefined),
    ...(options.samples === undefined ? {} : { samples: options.samples }),
    onProgress: (lsn) => {
      const done = Math.round(
        (100 * (lsn - ours.control.checkPoint)) / (theirs.control.checkPoint - ours.control.checkPoint),
      );
      onProgress?.(`replay: ${done} %`);
    },
  });
  const { statistics, countersBeforeLast, effects, records } = replay.run();
  const replaySeconds = (performance.now() - started) / 1000;
  onProgress?.('recovery by the server');
  const recovered = await recoverByServer({
    version,
    initialDirectory: workload.initialDirectory,
    walDirectory: workload.walDirectory,
    parentDirectory: server.rootDirectory,
    lastRecordLsn: theirs.control.checkPoint,
    ...(options.pgBin === undefined ? {} : { pgBin: options.pgBin }),
  });
  const settingsAreConstant = workload.statistics.parameterChanges === 0;
  const directory = compareDirectory(ours, theirs, workload.catalog, settingsAreConstant);
  const recovery = compareRecovery(ours, recovered, workload.catalog, settingsAreConstant);
  const differences = [
    ...recovery.differences,
    ...directory.differences,
    ...compareCounters(countersBeforeLast, theirs.checkPoint),
    ...compareOrigins(effects.origins, workload.finalDirectory),
  ];
  const rows = statistics.rows();
  const unseen = resourceManagers.flatMap((manager) =>
    manager.kinds
      .filter((kind) => !statistics.has(manager.name, kind))
      .map((kind) => ({ resourceManager: manager.name, kind })),
  );
  const pages = rows.reduce((sum, row) => sum + row.pages, 0);
  const mismatches = rows.reduce((sum, row) => sum + row.mismatches, 0) + differences.length;
  return {
    rows,
    unseen,
    records,
    pages,
    mismatches,
    differences,
    directory,
    recoveredPages: recovery.pages,
    workload: workload.statistics,
    replaySeconds,
    summary: `oracle: records=${records} pages=${pages} mismatches=${mismatches} kinds_seen=${rows.length} kinds_unseen=${unseen.length}`,
  };
}
