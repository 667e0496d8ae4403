import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{src,test,sim,fuzz,bench,tools}/**/*.test.ts'],
    // Processes, not threads: tests change directories, send signals and run servers.
    pool: 'forks',
    globalSetup: ['test/support/leftover-processes.ts'],
    testTimeout: 20_000,
    hookTimeout: 120_000,
    teardownTimeout: 10_000,
    // A test that was left focused, or a path that matches nothing, must not look like a pass.
    allowOnly: false,
    passWithNoTests: false,
    restoreMocks: true,
  },
});
