import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Files that take long, the longest first. Begun last, one of them would keep one core busy while the others have nothing
 * left to do. A file that is not here is begun after these.
 */
const SLOW: readonly string[] = [
  'test/sim/cluster/more-safekeepers.test.ts',
  'test/sim/cluster/three-safekeepers.test.ts',
  'test/e2e/story.test.ts',
  'test/library/library.test.ts',
  'test/system/system.test.ts',
  'test/torture/system.test.ts',
  'test/compute/disk-budget.test.ts',
  'test/compute/subscriptions.test.ts',
  'test/compute/shim-postgres.test.ts',
  'test/compute/back-pressure.test.ts',
  'test/compute/compute-content.test.ts',
  'test/compute/standby.test.ts',
  'test/control/control-kills.test.ts',
  'test/page-service/mutants/mutants.test.ts',
  'test/torture/migrations.test.ts',
  'test/pageserver/import-running.test.ts',
  'test/pageserver/start-set.test.ts',
  'test/cli/pageserver-command.test.ts',
  'test/compute/compute-command.test.ts',
  'test/compute-oracle/compute-oracle.test.ts',
  'test/compute/compute-bad-input.test.ts',
  'test/compute/beside-wal.test.ts',
  'test/compute/extensions.test.ts',
  'test/compute/shim-giving.test.ts',
  'test/compute/shim.test.ts',
  'bench/start.test.ts',
  'bench/load.test.ts',
  'bench/branch.test.ts',
  'test/docs/documents.test.ts',
  'test/oracle/oracle.test.ts',
  'test/sim/mutants/mutants.test.ts',
  'test/cli/storage-commands.test.ts',
  'test/pageserver/detach-ancestor.test.ts',
  'test/pageserver/full-backup.test.ts',
  'test/pageserver/import.test.ts',
  'test/torture/wal.test.ts',
  'test/engine/mutants/mutants.test.ts',
  'bench/pageserver.test.ts',
  'test/pageserver/storage.test.ts',
  'bench/getpage.test.ts',
  'test/page-oracle/page-oracle.test.ts',
  'test/safekeeper/process.test.ts',
  'test/oracle/workload.test.ts',
  'test/torture/pages.test.ts',
  'test/engine/engine-model.test.ts',
  'test/end-to-end/pageserver-process.test.ts',
];

const rankOf = (moduleId: string): number => {
  const rank = SLOW.findIndex((path) => moduleId.endsWith(`/${path}`));
  return rank < 0 ? SLOW.length : rank;
};

/** Begins what takes long first. */
export class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.sort((left, right) => rankOf(left.moduleId) - rankOf(right.moduleId));
  }
}
