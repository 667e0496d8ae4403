// Compiles src into dist, for the published package: Node.js strips no types below node_modules.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY_ROOT } from './source-files.ts';

rmSync(join(REPOSITORY_ROOT, 'dist'), { recursive: true, force: true });
const { status, error } = spawnSync(
  join(REPOSITORY_ROOT, 'node_modules/.bin/tsc'),
  ['--project', 'tsconfig.build.json'],
  { cwd: REPOSITORY_ROOT, stdio: 'inherit' },
);
if (error !== undefined) throw error;
process.exitCode = status ?? 1;
