import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { tarEnd, tarHeader, tarPadding } from '../../src/base/tar/tar-writer.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { CLUSTER_DIRECTORIES, writeCluster } from '../engine/model-cluster.ts';

const VERSION = new TextEncoder().encode('17\n');

/** The model's cluster as an archive, from which a pageserver begins a timeline. */
export async function archiveModelCluster(): Promise<Uint8Array[]> {
  const directory = await mkdtemp(join(tmpdir(), 'varve-torture-'));
  try {
    for (const name of CLUSTER_DIRECTORIES) await mkdir(join(directory, name), { recursive: true });
    await writeCluster(nodeFiles, directory);
    const parts = [...fileInTar('PG_VERSION', VERSION)];
    for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile()) parts.push(...fileInTar(relative(directory, path), await readFile(path)));
    }
    return [...parts, tarEnd()];
  } finally {
    await rm(directory, { recursive: true });
  }
}

const fileInTar = (name: string, content: Uint8Array): Uint8Array[] => [
  tarHeader({ name, sizeBytes: content.length }),
  content,
  tarPadding(content.length),
];
