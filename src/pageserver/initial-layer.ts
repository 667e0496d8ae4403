import type { TenantId, TimelineId } from '../base/ids.ts';
import type { Lsn } from '../base/lsn.ts';
import type { Files } from '../io/files.ts';
import { CONTROL_FILE_PATH, type ControlFile, decodeControlFile } from '../postgres/files/control-file.ts';
import type { PostgresVersion } from '../postgres/versions/version.ts';
import { importCluster } from './ingest/import-cluster.ts';
import type { ImportTarget } from './ingest/import-files.ts';
import { KEY_BYTES, writeKey } from './keyspace/key.ts';
import { ALL_KEYS } from './keyspace/key-range.ts';
import type { Compression } from './layers/format/block-frame.ts';
import { LayerWriter } from './layers/format/layer-writer.ts';
import type { LayerDescription } from './layers/layer-description.ts';
import { VALUE_IMAGE } from './layers/value.ts';

/** A stopped cluster, as initdb leaves it, from which a timeline begins. */
export interface InitialCluster {
  readonly files: Files;
  readonly directory: string;
  readonly version: PostgresVersion;
  /** It is a backup of a running server, whose WAL from here on belongs to it. */
  readonly backupStartLsn?: Lsn;
}

export interface InitialLayerOptions {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly generation: number;
  readonly compression: Compression;
  /** Where the layer goes. */
  readonly files: Files;
  readonly directory: string;
}

/**
 * Writes the image layer that a timeline begins with: all that is in the cluster, at the start of its last checkpoint, or
 * where the WAL of a backup begins.
 * @throws as importCluster
 */
export async function writeInitialLayer(
  cluster: InitialCluster,
  options: InitialLayerOptions,
): Promise<{ layer: LayerDescription; control: ControlFile }> {
  // Nobody knows the LSN before the control file has been read, which importing does first.
  const { version, files, directory, backupStartLsn } = cluster;
  const lsn = backupStartLsn ?? (await readCheckpointLsn(cluster));
  await using writer = await LayerWriter.create({
    ...options,
    temporaryName: 'initial',
    postgresMajor: version.major,
    kind: 'image',
    lsnStart: lsn,
    lsnEnd: (lsn + 1) as Lsn,
  });
  const keyView = new DataView(new ArrayBuffer(KEY_BYTES));
  const target: ImportTarget = {
    put: (key, value) => {
      writeKey(keyView, 0, key);
      const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
      writer.add(keyView, 0, lsn, VALUE_IMAGE, value, view, 0, value.length);
      return writer.isFull ? writer.drain() : undefined;
    },
  };
  const control = await importCluster(files, directory, version, target, backupStartLsn);
  return { layer: await writer.finish(ALL_KEYS), control };
}

/** Where the record of a stopped cluster's last checkpoint begins. */
export async function readCheckpointLsn(cluster: InitialCluster): Promise<Lsn> {
  return (await readControlFile(cluster)).checkPoint;
}

/** @throws as decodeControlFile; what the files door fails of */
export async function readControlFile({ files, directory, version }: InitialCluster): Promise<ControlFile> {
  await using file = await files.open(`${directory}/${CONTROL_FILE_PATH}`);
  const bytes = new Uint8Array(file.sizeBytes);
  await file.read(bytes, 0, bytes.length, 0);
  return decodeControlFile(version, bytes);
}
