import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { SlowFirst } from './test/support/slow-first.ts';

const ALL = ['{src,test,sim,fuzz,bench,tools}/**/*.test.ts'];
/** They measure, so they have the machine to themselves, after the others. */
const ALONE = [
  'test/pageserver/event-loop-delay.test.ts',
  'test/torture/{migrations,pages}.test.ts',
  'src/**/*.scale.test.ts',
];

export default defineConfig({
  test: {
    // Processes, not threads: tests change directories, send signals and run servers.
    pool: 'forks',
    // As many as there are cores: much of the time goes by with waiting for other processes.
    maxWorkers: '100%',
    // For the programs that tests start by the dozen.
    env: { NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/varve', import.meta.url)) },
    globalSetup: ['test/support/leftover-processes.ts'],
    sequence: { sequencer: SlowFirst },
    testTimeout: 20_000,
    hookTimeout: 120_000,
    teardownTimeout: 10_000,
    // A test that was left focused, or a path that matches nothing, must not look like a pass.
    allowOnly: false,
    passWithNoTests: false,
    restoreMocks: true,
    projects: [
      {
        extends: true,
        test: { name: 'together', include: ALL, exclude: ALONE, sequence: { groupOrder: 0 } },
      },
      { extends: true, test: { name: 'alone', include: ALONE, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
  },
});
