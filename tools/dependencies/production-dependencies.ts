import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY_ROOT, readText } from '../source-files.ts';

export const BUDGET_PATH = 'tools/dependencies/budget.json';

/** What whoever installs the program gets, on every platform: without optional packages, which are binaries. */
export interface DependencySize {
  readonly packages: number;
  /** Bytes of their files. */
  readonly installedBytes: number;
}

interface LockedPackage {
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly devOptional?: boolean;
  readonly peer?: boolean;
}

/** Paths of all packages that package-lock.json has for production, direct and indirect. */
export function listProductionPackages(lockText: string): string[] {
  const { packages } = JSON.parse(lockText) as { packages: Readonly<Record<string, LockedPackage>> };
  return Object.entries(packages)
    .filter(([path, { dev, optional, devOptional }]) => path !== '' && !dev && !optional && !devOptional)
    .map(([path]) => path)
    .sort();
}

export function measureDependencies(): DependencySize {
  const paths = listProductionPackages(readText('package-lock.json'));
  const missing = paths.filter((path) => !existsSync(join(REPOSITORY_ROOT, path)));
  if (missing.length > 0) throw new Error(`not installed: ${missing.join(', ')}`);
  const installedBytes = paths.reduce((sum, path) => sum + bytesBelow(join(REPOSITORY_ROOT, path)), 0);
  return { packages: paths.length, installedBytes };
}

/** Packages within a package are listed themselves. */
function bytesBelow(directory: string): number {
  let bytes = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) bytes += entry.name === 'node_modules' ? 0 : bytesBelow(path);
    else bytes += lstatSync(path).size;
  }
  return bytes;
}

/** Sizes may vary by so much before anybody has to look: a patch release here and there. */
const TOLERANCE = 0.05;

/** What is to be said of a size against the budget; undefined where it keeps to it. */
export function findBudgetFault(size: DependencySize, budget: DependencySize): string | undefined {
  const how = 'if this is wanted, `node tools/dependency-budget.ts --write`, and say why in the commit';
  if (size.packages !== budget.packages)
    return `there are ${size.packages} production packages, ${budget.packages} are in the budget: ${how}`;
  const difference = (size.installedBytes - budget.installedBytes) / budget.installedBytes;
  if (Math.abs(difference) <= TOLERANCE) return undefined;
  return `production packages have ${size.installedBytes} bytes, ${budget.installedBytes} are in the budget: ${how}`;
}
