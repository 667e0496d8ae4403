import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { REPOSITORY_ROOT, readText } from '../source-files.ts';
import {
  BUDGET_PATH,
  type DependencySize,
  findBudgetFault,
  listProductionPackages,
  measureDependencies,
} from './production-dependencies.ts';

const budget = JSON.parse(readText(BUDGET_PATH)) as DependencySize;

test('PS-21: number and size of production dependencies are those of the budget', () => {
  expect(findBudgetFault(measureDependencies(), budget)).toBeUndefined();
});

test('PS-21: a dependency more, or one that has grown, is found', () => {
  const { packages, installedBytes } = budget;
  expect(findBudgetFault(budget, budget)).toBeUndefined();
  expect(findBudgetFault({ packages: packages + 1, installedBytes }, budget)).toMatch(/--write/);
  expect(findBudgetFault({ packages, installedBytes: installedBytes * 1.1 }, budget)).toMatch(/--write/);
  // A budget that is too large would let things grow.
  expect(findBudgetFault({ packages, installedBytes: installedBytes * 0.9 }, budget)).toMatch(/--write/);
  const lock = JSON.parse(readText('package-lock.json')) as { packages: Record<string, object> };
  const before = listProductionPackages(JSON.stringify(lock));
  lock.packages['node_modules/planted'] = {};
  lock.packages['node_modules/planted-for-tests'] = { dev: true };
  expect(listProductionPackages(JSON.stringify(lock))).toHaveLength(before.length + 1);
});

/** What knip says of a copy of the repository whose package.json is another one. */
async function findUnused(packageJson: object): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'varve-knip-'));
  try {
    const copied = ['src', 'test', 'bench', 'fuzz', 'tools', 'bin', 'types'];
    const files = ['knip.json', 'tsconfig.json', 'tsconfig.build.json', 'vitest.config.ts', 'biome.json'];
    for (const name of [...copied, ...files])
      await cp(join(REPOSITORY_ROOT, name), join(directory, name), { recursive: true });
    await symlink(join(REPOSITORY_ROOT, 'node_modules'), join(directory, 'node_modules'));
    await writeFile(join(directory, 'package.json'), JSON.stringify(packageJson));
    const program = join(REPOSITORY_ROOT, 'node_modules/knip/bin/knip.js');
    const options = ['--no-progress', '--no-config-hints', '--dependencies', '--reporter', 'json'];
    return await new Promise<string>((resolve) => {
      execFile(process.execPath, [program, ...options], { cwd: directory, timeout: 240_000 }, (_, stdout) =>
        resolve(stdout),
      );
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

test('PS-22: a dependency that nothing uses is found, by one of the checks', async () => {
  expect(readText('tools/check.ts')).toContain("command: ['knip',");
  const own = JSON.parse(readText('package.json')) as { dependencies: object; devDependencies: object };
  const found = await findUnused({
    ...own,
    dependencies: { ...own.dependencies, 'planted-for-programs': '1.0.0' },
    devDependencies: { ...own.devDependencies, 'planted-for-tests': '1.0.0' },
  });
  const unused = (kind: string): string[] =>
    (JSON.parse(found) as { issues: Record<string, { name: string }[]>[] }).issues.flatMap((issue) =>
      (issue[kind] ?? []).map(({ name }) => name),
    );
  expect(unused('dependencies')).toEqual(['planted-for-programs']);
  expect(unused('devDependencies')).toEqual(['planted-for-tests']);
}, 300_000);
