/** The stopped cluster that all timelines of the tests begin with: a few pages, made by no server. */
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import type { Files } from '../../src/io/files.ts';
import { type ControlFile, encodeControlFile } from '../../src/postgres/files/control-file.ts';
import { initializePage, Page } from '../../src/postgres/page/page.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { SAMPLE_CONTROL_FILE } from '../pageserver/sample-cluster.ts';

export const MODEL_SYSTEM = 7_000_000_000_000_000_001n;
export const MODEL_SEGMENT_BYTES: number = 1024 * 1024;
/** Where the shutdown checkpoint's record begins. */
export const MODEL_START: Lsn = toLsn(0x100_0028);
export const MODEL_TABLESPACE = 1663;
export const MODEL_DATABASE = 5;
export const MODEL_RELATIONS: readonly number[] = [16_384, 16_385, 16_386];
/** Blocks of the first relation; the others do not exist. */
export const MODEL_BLOCKS = 2;
export const MODEL_XID = 5000;

export const modelRelation = (relation: number) => ({
  tablespace: MODEL_TABLESPACE,
  database: MODEL_DATABASE,
  relation,
});

export const MODEL_CONTROL: ControlFile = {
  ...SAMPLE_CONTROL_FILE,
  systemIdentifier: MODEL_SYSTEM,
  walSegmentBytes: MODEL_SEGMENT_BYTES,
  checkPoint: MODEL_START,
  checkPointCopy: { ...SAMPLE_CONTROL_FILE.checkPointCopy, redo: MODEL_START, nextXid: MODEL_XID },
};

/** An empty page of a heap whose block is known by its last byte. */
export function modelPage(block: number): Uint8Array {
  const page = new Page();
  initializePage(page, 8);
  page.bytes.fill(block + 1, 8184);
  return page.bytes;
}

/** Writes the cluster's files. The directories are there: see CLUSTER_DIRECTORIES. */
export async function writeCluster(files: Files, directory: string): Promise<void> {
  const pages = new Uint8Array(MODEL_BLOCKS * 8192);
  for (let block = 0; block < MODEL_BLOCKS; block++) pages.set(modelPage(block), block * 8192);
  await files.create(`${directory}/global/pg_control`, encodeControlFile(POSTGRES_17, MODEL_CONTROL));
  await files.create(`${directory}/base/${MODEL_DATABASE}/${MODEL_RELATIONS[0]}`, pages);
  await files.create(`${directory}/pg_xact/0000`, new Uint8Array(8192));
}

export const CLUSTER_DIRECTORIES: readonly string[] = ['global', `base/${MODEL_DATABASE}`, 'pg_xact'];
