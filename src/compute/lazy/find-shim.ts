import { VarveError } from '../../base/errors.ts';
import { hashFiles } from '../../base/hash-files.ts';
import type { Files } from '../../io/files.ts';
import type { Processes } from '../../io/processes.ts';
import { readWholeFile } from '../../io/read-whole-file.ts';
import { replaceFile } from '../../io/replace-file.ts';

/** How the shim is made of its sources: after them the place of the result, and the sources. */
export const SHIM_COMPILER = 'cc';
export const SHIM_COMPILER_ARGUMENTS: readonly string[] = [
  ...['-std=gnu11', '-O2', '-fPIC', '-shared', '-fvisibility=hidden'],
  // Some systems' compilers define it by themselves, and have names of their own for what the shim stands in front of.
  ...['-U_FORTIFY_SOURCE', '-Wl,-z,now'],
];
export const SHIM_NAME = 'varve_shim.so';

export interface ShimPlaces {
  /** With the sources, and `prebuilt/<platform>/` below. */
  readonly sources: string;
  /** Where one is kept that was built here. */
  readonly cache: string;
  /** `linux-x64`. */
  readonly platform: string;
}

/**
 * Finds a shim for this machine, or makes one: that of the package; one that was built here of the same sources; or it is
 * built now. undefined where none of these can be had: then all pages are to be filled in before the server starts.
 * @throws the disk's; ‘cancelled’
 */
export async function findShim(
  places: ShimPlaces,
  doors: { readonly files: Files; readonly processes: Processes },
  signal: AbortSignal,
): Promise<string | undefined> {
  const { files } = doors;
  if (!places.platform.startsWith('linux-')) return undefined;
  const prebuilt = `${places.sources}/prebuilt/${places.platform}/${SHIM_NAME}`;
  if (await isThere(files, prebuilt)) return prebuilt;
  const sources = await readShimSources(files, places.sources);
  const name = `${hashShimSources(sources)}-${places.platform}.so`;
  const built = `${places.cache}/${name}`;
  if (await isThere(files, built)) return built;
  const bytes = await build(sources, doors, signal);
  if (bytes === undefined) return undefined;
  await files.makeDirectory(places.cache);
  await replaceFile(files, places.cache, name, bytes);
  return built;
}

/** Name and content of each source, by name. */
export async function readShimSources(
  files: Files,
  directory: string,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const sources = new Map<string, Uint8Array>();
  for (const name of await files.list(directory)) {
    if (!/\.[ch]$/.test(name)) continue;
    sources.set(name, await readWholeFile(files, `${directory}/${name}`));
  }
  return sources;
}

/** What a shim was made of: the same for the same sources and arguments. */
export function hashShimSources(sources: ReadonlyMap<string, Uint8Array>): string {
  const parameters = new TextEncoder().encode(SHIM_COMPILER_ARGUMENTS.join('\n'));
  return hashFiles([...sources, ['', parameters]]);
}

/** undefined without a compiler, or with one that cannot: the caller has a way without. */
async function build(
  sources: ReadonlyMap<string, Uint8Array>,
  { files, processes }: { readonly files: Files; readonly processes: Processes },
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  await using directory = await processes.openDirectory();
  // Readable for whoever the compiler runs as.
  for (const [name, bytes] of sources) await files.create(`${directory.path}/${name}`, bytes);
  const names = [...sources.keys()].filter((name) => name.endsWith('.c'));
  try {
    const parameters = [...SHIM_COMPILER_ARGUMENTS, '-o', SHIM_NAME, ...names];
    await directory.run(SHIM_COMPILER, parameters, { signal });
  } catch (error) {
    if (error instanceof VarveError && error.code === 'PROGRAM_FAILED') return undefined;
    throw error;
  }
  return await readWholeFile(files, `${directory.path}/${SHIM_NAME}`);
}

async function isThere(files: Files, path: string): Promise<boolean> {
  try {
    return (await files.stat(path)).kind === 'file';
  } catch (error) {
    if (error instanceof VarveError && error.code === 'FILE_NOT_FOUND') return false;
    throw error;
  }
}
