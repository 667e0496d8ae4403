import { isId } from '../../base/ids.ts';
import type { Files } from '../../io/files.ts';
import type { Logger } from '../../observe/log.ts';
import { listEntries, statIfPossible } from '../local-entries.ts';
import type { LoadedIndex } from '../remote/load-index.ts';
import { type LocalFile, localNameOf, reconcileLocal } from '../remote/reconcile-local.ts';
import { OPEN_LAYER_PREFIX } from '../timeline/memory-layers.ts';

/** Of what is no file: no layer has it. */
const NO_SIZE = -1;

interface LocalDoors {
  readonly files: Files;
  readonly logger: Logger;
}

/** Removes directories of timelines that nobody knows: a creation that was never finished, or a deletion. */
export async function removeUnknownDirectories(
  { files, logger }: LocalDoors,
  directory: string,
  known: ReadonlySet<string>,
): Promise<void> {
  for (const { name, kind } of (await listEntries(files, directory, logger)) ?? []) {
    if (known.has(name)) continue;
    if (kind !== 'directory' || !isId(name)) {
      logger.warn('Something is left alone that no timeline has', { directory, name });
      continue;
    }
    logger.info('Local files are removed that belong to no timeline', { name });
    await files.removeDirectory(`${directory}/${name}`);
  }
}

/** Removes what the index does not name, and says which of its layers are here. */
export async function findLocalLayers(
  { files, logger }: LocalDoors,
  index: LoadedIndex,
  directory: string,
): Promise<ReadonlySet<string>> {
  const entries = await listEntries(files, directory, logger);
  if (entries === undefined) return await lookForLayers(files, index, directory);
  const directories = entries.filter(({ kind }) => kind === 'directory').map(({ name }) => name);
  const plan = reconcileLocal(
    entries.filter(({ kind }) => kind === 'file'),
    index.layers,
  );
  // What has a name of ours and is something else than a file is in the way.
  const inTheWay = reconcileLocal(
    entries.filter(({ kind }) => kind !== 'file').map(({ name }) => ({ name, sizeBytes: NO_SIZE })),
    index.layers,
  );
  const unknown = [...plan.unknown, ...inTheWay.unknown];
  const open = unknown.filter((name) => name.startsWith(OPEN_LAYER_PREFIX));
  for (const name of [...plan.remove, ...inTheWay.remove, ...open]) {
    const path = `${directory}/${name}`;
    await (directories.includes(name) ? files.removeDirectory(path) : files.remove(path));
  }
  for (const name of unknown) {
    if (!open.includes(name)) logger.warn('A file is left alone that no timeline has', { directory, name });
  }
  return new Set(plan.present.map((layer) => layer.name));
}

/** As findLocalLayers, where the directory cannot be listed: looks for each layer, and removes nothing. */
async function lookForLayers(
  files: Files,
  { layers }: LoadedIndex,
  directory: string,
): Promise<ReadonlySet<string>> {
  const found: LocalFile[] = [];
  for (const layer of layers.values()) {
    const name = localNameOf(layer);
    const status = await statIfPossible(files, `${directory}/${name}`);
    if (status?.kind === 'file') found.push({ name, sizeBytes: status.sizeBytes });
  }
  return new Set(reconcileLocal(found, layers).present.map((layer) => layer.name));
}
