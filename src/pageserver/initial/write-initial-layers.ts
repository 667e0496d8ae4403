import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { Clock } from '../../io/clock.ts';
import type { Files } from '../../io/files.ts';
import type { Random } from '../../io/random.ts';
import { TEMPORARY_SUFFIX } from '../../io/replace-file.ts';
import { type ControlFile, decodeControlFile, encodeControlFile } from '../../postgres/files/control-file.ts';
import { getPostgresVersion } from '../../postgres/versions/version.ts';
import { WAL_HEADER_SYSTEM_IDENTIFIER } from '../../postgres/wal/page-header.ts';
import { KEY_BYTES, writeKey } from '../keyspace/key.ts';
import { CLUSTER_CONTROL_FILE, CLUSTER_COUNTERS, clusterKey } from '../keyspace/keys.ts';
import type { Compression } from '../layers/format/block-frame.ts';
import { decodeLayerHeader, encodeLayerHeader } from '../layers/format/layer-header.ts';
import { LayerWriter } from '../layers/format/layer-writer.ts';
import { HEADER_BYTES } from '../layers/format/layout.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import { formatLayerFileName } from '../layers/layer-name.ts';
import { VALUE_IMAGE } from '../layers/value.ts';
import { type InitialArtefact, OWN_KEYS } from './initial-artefact.ts';
import { ownSystemIdentifier } from './own-system-identifier.ts';

export interface NewTimeline {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly generation: number;
  readonly compression: Compression;
  readonly files: Files;
  /** Where its layers go. It exists. */
  readonly directory: string;
}

/** The control file of a new cluster with an identity of its own: no two timelines that are made have the same. */
export function ownControlFile(
  { postgresMajor, controlFile }: InitialArtefact,
  timeline: Pick<NewTimeline, 'tenantId' | 'timelineId'>,
  clock: Clock,
  random: Random,
): ControlFile {
  const control = decodeControlFile(getPostgresVersion(postgresMajor), controlFile);
  return {
    ...control,
    systemIdentifier: ownSystemIdentifier(timeline, clock.wallMs()),
    // What a server answers with to who asks for a role that is not there: nobody else is to know it.
    mockAuthenticationNonce: random.bytes(control.mockAuthenticationNonce.length).slice(),
  };
}

/** Writes the layers that a timeline of an artefact begins with: what all have in common, and what is its own. */
export async function writeInitialLayers(
  artefact: InitialArtefact,
  control: ControlFile,
  timeline: NewTimeline,
): Promise<LayerDescription[]> {
  return await Promise.all([writeCommon(artefact, timeline), writeOwn(artefact, control, timeline)]);
}

/** The artefact's layer with another owner: nothing else in it depends on whose it is. Durable under its name. */
async function writeCommon(
  { layer }: InitialArtefact,
  { tenantId, timelineId, generation, files, directory }: NewTimeline,
): Promise<LayerDescription> {
  const header = decodeLayerHeader(layer.subarray(0, HEADER_BYTES), layer.length, 'an initial cluster');
  const description = { ...header.description, generation };
  const own = encodeLayerHeader({ ...header, tenantId, timelineId, description });
  const path = `${directory}/${formatLayerFileName(description)}`;
  await using file = await files.openForUpdate(path + TEMPORARY_SUFFIX);
  await file.resize(0);
  await file.write(own, 0, own.length, 0);
  await file.write(layer, own.length, layer.length - own.length, own.length);
  await file.sync();
  await file.close();
  await files.rename(path + TEMPORARY_SUFFIX, path);
  await files.syncDirectory(directory);
  return description;
}

async function writeOwn(
  { postgresMajor, lsn, counters }: InitialArtefact,
  control: ControlFile,
  timeline: NewTimeline,
): Promise<LayerDescription> {
  await using writer = await LayerWriter.create({
    ...timeline,
    temporaryName: 'initial',
    postgresMajor,
    kind: 'image',
    lsnStart: lsn,
    lsnEnd: (lsn + 1) as Lsn,
  });
  const keyView = new DataView(new ArrayBuffer(KEY_BYTES));
  const values: readonly (readonly [number, Uint8Array])[] = [
    [CLUSTER_CONTROL_FILE, encodeControlFile(getPostgresVersion(postgresMajor), control)],
    [CLUSTER_COUNTERS, counters],
  ];
  for (const [which, value] of values) {
    writeKey(keyView, 0, clusterKey(which));
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    writer.add(keyView, 0, lsn, VALUE_IMAGE, value, view, 0, value.length);
  }
  return await writer.finish(OWN_KEYS);
}

/** The shutdown checkpoint's record, as the timeline's own server would have written it. */
export function ownCheckpointWal({ lsn, wal }: InitialArtefact, control: ControlFile): Uint8Array {
  const bytes = wal.slice();
  const { walSegmentBytes, systemIdentifier } = control;
  const view = new DataView(bytes.buffer);
  // Where a segment begins within the record, its first page says whose it is.
  for (
    let at = Math.ceil(lsn / walSegmentBytes) * walSegmentBytes;
    at < lsn + bytes.length;
    at += walSegmentBytes
  ) {
    view.setBigUint64(at - lsn + WAL_HEADER_SYSTEM_IDENTIFIER, systemIdentifier, true);
  }
  return bytes;
}
