import { nodeFiles } from '../../src/io/node/files.ts';
import { prepareBinaries } from '../../src/io/node/postgres-binaries.ts';
import { nodeProcesses } from '../../src/io/node/processes.ts';
import { findAccount } from '../../src/io/node/unprivileged-account.ts';
import { InitdbClusters } from '../../src/pageserver/initial/initdb-clusters.ts';
import { SUPERUSER } from './cluster-template.ts';

/** New clusters by the packaged initdb. */
export const initdbClusters = (): InitdbClusters =>
  new InitdbClusters(
    {
      processes: nodeProcesses,
      files: nodeFiles,
      findPrograms: () => prepareBinaries(findAccount()),
    },
    SUPERUSER,
  );
