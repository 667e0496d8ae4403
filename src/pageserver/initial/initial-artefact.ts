import { z } from 'zod';
import { crc32c } from '../../base/crc32c.ts';
import { CorruptionError } from '../../base/errors.ts';
import { parseTenantId, parseTimelineId } from '../../base/ids.ts';
import { type Lsn, toLsn } from '../../base/lsn.ts';
import type { Files } from '../../io/files.ts';
import { decodeControlFile } from '../../postgres/files/control-file.ts';
import { getPostgresVersion } from '../../postgres/versions/version.ts';
import { formatSegmentName, segmentNumber } from '../../postgres/wal/segment-name.ts';
import { WalReader } from '../../postgres/wal/wal-reader.ts';
import { importCluster } from '../ingest/import-cluster.ts';
import type { InitialCluster } from '../initial-layer.ts';
import { readCheckpointLsn } from '../initial-layer.ts';
import { KEY_BYTES, type Key, writeKey } from '../keyspace/key.ts';
import { ALL_KEYS, type KeyRange } from '../keyspace/key-range.ts';
import {
  CLUSTER_CONTROL_FILE,
  CLUSTER_COUNTERS,
  clusterKey,
  KIND_CLUSTER,
  kindRange,
} from '../keyspace/keys.ts';
import { LayerWriter } from '../layers/format/layer-writer.ts';
import { formatLayerFileName } from '../layers/layer-name.ts';
import { VALUE_IMAGE } from '../layers/value.ts';
import {
  countSchema,
  decodeFrame,
  decodeJson,
  firstLine,
  lsnSchema,
  lsnText,
  type TextFormat,
} from '../remote/checked-text.ts';

const FORMAT: TextFormat = {
  name: 'varve-initial-cluster',
  version: 1,
  errorCode: 'BAD_INITIAL_CLUSTER',
  bytesMax: 256 * 1024 * 1024,
};
export const ARTEFACT_BYTES_MAX: number = FORMAT.bytesMax;
const LINE_FEED = 10;
/** Bytes of WAL in which the shutdown checkpoint's record must end: it is not much longer than a hundred. */
const CHECKPOINT_WAL_BYTES_MAX = 64 * 1024;
/** Whose layer it is as long as it is nobody's. */
const NOBODY = '0'.repeat(32);

const bytesSchema = z.base64().transform((text) => new Uint8Array(Buffer.from(text, 'base64')));

const schema = z.strictObject({
  postgresMajor: countSchema,
  lsn: lsnSchema,
  controlFile: bytesSchema,
  counters: bytesSchema,
  wal: bytesSchema,
});

/** Keys of what is the same in all timelines that are made of one artefact: all below the control file. */
export const COMMON_KEYS: KeyRange = { start: ALL_KEYS.start, end: kindRange(KIND_CLUSTER).start };
/** Keys of what is a timeline's own. */
export const OWN_KEYS: KeyRange = { start: COMMON_KEYS.end, end: ALL_KEYS.end };

/** A new cluster, in the form in which timelines are made of it. */
export interface InitialArtefact {
  readonly postgresMajor: number;
  /** Start of the shutdown checkpoint's record. */
  readonly lsn: Lsn;
  /** Values of the two keys of OWN_KEYS that a new cluster has. */
  readonly controlFile: Uint8Array;
  readonly counters: Uint8Array;
  /** From `lsn` to the end of that record. */
  readonly wal: Uint8Array;
  /** A layer file with all of COMMON_KEYS, whose header names nobody's timeline. */
  readonly layer: Uint8Array;
}

/**
 * Brings a stopped cluster into the form in which it is kept.
 * @param directory for a temporary file
 * @throws as importCluster
 */
export async function makeArtefact(
  cluster: InitialCluster,
  files: Files,
  directory: string,
): Promise<InitialArtefact> {
  const { version } = cluster;
  const lsn = await readCheckpointLsn(cluster);
  await using writer = await LayerWriter.create({
    tenantId: parseTenantId(NOBODY),
    timelineId: parseTimelineId(NOBODY),
    files,
    directory,
    temporaryName: `initial-${version.major}`,
    postgresMajor: version.major,
    kind: 'image',
    lsnStart: lsn,
    lsnEnd: (lsn + 1) as Lsn,
    generation: 1,
    compression: 'zstd',
  });
  const own = new Map<number, Uint8Array>();
  const keyView = new DataView(new ArrayBuffer(KEY_BYTES));
  const control = await importCluster(cluster.files, cluster.directory, version, {
    put: (key: Key, value: Uint8Array) => {
      if (key.kind === KIND_CLUSTER) {
        own.set(key.index, value.slice());
        return undefined;
      }
      writeKey(keyView, 0, key);
      const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
      writer.add(keyView, 0, lsn, VALUE_IMAGE, value, view, 0, value.length);
      return writer.isFull ? writer.drain() : undefined;
    },
  });
  const description = await writer.finish(COMMON_KEYS);
  const path = `${directory}/${formatLayerFileName(description)}`;
  try {
    return {
      postgresMajor: version.major,
      lsn,
      controlFile: requireValue(own, CLUSTER_CONTROL_FILE),
      counters: requireValue(own, CLUSTER_COUNTERS),
      wal: await readCheckpointWal(cluster, control.systemIdentifier, control.walSegmentBytes, lsn),
      layer: await readAll(files, path),
    };
  } finally {
    await files.remove(path);
  }
}

/** First line, a line of JSON, the layer. */
export function encodeArtefact(artefact: InitialArtefact): Uint8Array {
  const { postgresMajor, lsn, layer } = artefact;
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const values = {
    postgresMajor,
    lsn: lsnText(lsn),
    controlFile: base64(artefact.controlFile),
    counters: base64(artefact.counters),
    wal: base64(artefact.wal),
  };
  const line = new TextEncoder().encode(`${JSON.stringify(values)}\n`);
  const body = new Uint8Array(line.length + layer.length);
  body.set(line);
  body.set(layer, line.length);
  const first = firstLine(FORMAT, crc32c(body), body.length);
  const bytes = new Uint8Array(first.length + body.length);
  bytes.set(first);
  bytes.set(body, first.length);
  return bytes;
}

/** @throws CorruptionError BAD_INITIAL_CLUSTER; VarveError ‘precondition’ / UNKNOWN_FORMAT_VERSION */
export function decodeArtefact(bytes: Uint8Array, file: string): InitialArtefact {
  const damaged = (reason: string): CorruptionError =>
    new CorruptionError(FORMAT.errorCode, reason, { file });
  const { start, crc } = decodeFrame(FORMAT, bytes, file);
  if (crc32c(bytes, start) !== crc) throw damaged('the CRC is wrong');
  const end = bytes.indexOf(LINE_FEED, start);
  if (end < 0) throw damaged('there is no layer');
  const values = decodeJson(FORMAT, schema, bytes.subarray(start, end), file);
  const control = decodeControlFile(getPostgresVersion(values.postgresMajor), values.controlFile);
  if (control.checkPoint !== values.lsn) throw damaged('the control file has another checkpoint');
  return { ...values, layer: bytes.slice(end + 1) };
}

function requireValue(values: ReadonlyMap<number, Uint8Array>, index: number): Uint8Array {
  const value = values.get(index);
  if (value === undefined) {
    throw new CorruptionError(
      'BAD_INITIAL_CLUSTER',
      `a new cluster has nothing under ${clusterKey(index).index}`,
    );
  }
  return value;
}

async function readAll(files: Files, path: string): Promise<Uint8Array> {
  await using file = await files.open(path);
  const bytes = new Uint8Array(file.sizeBytes);
  const length = await file.read(bytes, 0, bytes.length, 0);
  return bytes.subarray(0, length);
}

/** The one record that begins at `lsn`, with whatever page headers are within it. */
async function readCheckpointWal(
  { files, directory, version }: InitialCluster,
  systemIdentifier: bigint,
  segmentBytes: number,
  lsn: Lsn,
): Promise<Uint8Array> {
  const reader = new WalReader({ version, segmentBytes, startLsn: lsn, systemIdentifier });
  const name = formatSegmentName(1, segmentNumber(lsn, segmentBytes), segmentBytes);
  await using file = await files.open(`${directory}/pg_wal/${name}`);
  const bytes = new Uint8Array(CHECKPOINT_WAL_BYTES_MAX);
  const length = await file.read(bytes, 0, bytes.length, lsn % segmentBytes);
  reader.feed(bytes, 0, length);
  if (!reader.next()) {
    throw new CorruptionError(
      'NO_CHECKPOINT_RECORD',
      "there is no record where the last checkpoint's should be",
      {
        lsn,
      },
    );
  }
  return bytes.slice(0, toLsn(reader.endLsn) - lsn);
}
