// Prints how many production packages there are and what they weigh. With --write this is the budget from now on, which
// tools/dependencies/budget.test.ts holds every change to.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUDGET_PATH, measureDependencies } from './dependencies/production-dependencies.ts';
import { REPOSITORY_ROOT } from './source-files.ts';

const size = measureDependencies();
console.log(`${size.packages} packages, ${(size.installedBytes / 1024 / 1024).toFixed(1)} MiB`);
if (process.argv.includes('--write')) {
  writeFileSync(join(REPOSITORY_ROOT, BUDGET_PATH), `${JSON.stringify(size, undefined, 2)}\n`);
}
