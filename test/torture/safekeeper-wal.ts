import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { formatLsn, type Lsn } from '../../src/base/lsn.ts';
import { RM_XACT } from '../../src/postgres/rmgr/resource-manager.ts';
import { XLOG_XACT_COMMIT, XLOG_XACT_OPMASK } from '../../src/postgres/rmgr/xact.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { formatSegmentName, segmentNumber } from '../../src/postgres/wal/segment-name.ts';
import { WalReader } from '../../src/postgres/wal/wal-reader.ts';
import { formatReplicationCommand } from '../../src/postgres/wire/replication-commands.ts';
import { readReplicationTag, XLOG_DATA_TAG, XLogData } from '../../src/postgres/wire/replication-messages.ts';
import { connectToSafekeeper, type TestConnectOptions } from '../support/wal-pusher.ts';

const READ_TIMEOUT_MS = 60_000;

export interface WalRange {
  readonly startLsn: Lsn;
  /** Exclusive. */
  readonly endLsn: Lsn;
}

/** Reads committed WAL from a safekeeper as any reader does, by START_REPLICATION. */
export async function readSafekeeperWal(
  place: TestConnectOptions,
  range: WalRange,
  onWal: (wal: Uint8Array, lsn: number) => void,
): Promise<void> {
  const client = await connectToSafekeeper(place);
  const done = Promise.withResolvers<void>();
  const data = new XLogData();
  let position: number = range.startLsn;
  const timeout = setTimeout(
    () => done.reject(new Error(`no WAL after ${formatLsn(position)} for ${READ_TIMEOUT_MS} ms`)),
    READ_TIMEOUT_MS,
  );
  try {
    await client.copyBoth(formatReplicationCommand({ kind: 'StartReplication', startLsn: range.startLsn }), {
      onCopyData: (bytes, offset, length, view) => {
        if (readReplicationTag(view, offset, length) !== XLOG_DATA_TAG || position >= range.endLsn) return;
        timeout.refresh();
        data.read(view, offset, length);
        if (data.startLsn !== position) throw new Error(`WAL of ${data.startLsn} came at ${position}`);
        const take = Math.min(data.dataLength, range.endLsn - position);
        onWal(bytes.subarray(data.dataOffset, data.dataOffset + take), position);
        position += take;
        if (position >= range.endLsn) done.resolve();
      },
      onCopyEnd: (end) =>
        done.reject(
          end.kind === 'failed' ? end.error : new Error(`the safekeeper ended the stream: ${end.kind}`),
        ),
    });
    await done.promise;
  } finally {
    clearTimeout(timeout);
    await client.close();
  }
}

/** The server's own WAL, from its segment files. */
export class ServerWal {
  readonly #directory: string;
  readonly #segmentBytes: number;

  constructor(dataDirectory: string, segmentBytes: number) {
    this.#directory = join(dataDirectory, 'pg_wal');
    this.#segmentBytes = segmentBytes;
  }

  /** Throws, with the LSN, unless these bytes are what the server has there. They must not cross a segment's border. */
  compare(wal: Uint8Array, lsn: number): void {
    const segment = segmentNumber(lsn, this.#segmentBytes);
    const path = join(this.#directory, formatSegmentName(1, segment, this.#segmentBytes));
    const own = new Uint8Array(wal.length);
    const descriptor = openSync(path, 'r');
    try {
      const length = readSync(descriptor, own, 0, own.length, lsn % this.#segmentBytes);
      if (length !== wal.length) throw new Error(`${path} ends within the WAL at ${formatLsn(lsn)}`);
    } finally {
      closeSync(descriptor);
    }
    if (Buffer.compare(own, wal) === 0) return;
    const at = own.findIndex((byte, index) => byte !== wal[index]);
    throw new Error(`the safekeeper's WAL at ${formatLsn(lsn + at)} is not the server's`);
  }
}

/** Decodes WAL, and keeps where the commit record of each transaction ends. */
export class CommitCollector {
  /** By xid. */
  readonly endLsns = new Map<number, number>();
  readonly #reader: WalReader;
  readonly #record = new DecodedRecord(POSTGRES_17);

  constructor(startLsn: Lsn, segmentBytes: number) {
    this.#reader = new WalReader({
      version: POSTGRES_17,
      segmentBytes,
      startLsn,
      mode: 'exact',
    });
  }

  /** Throws a CorruptionError for WAL that cannot be decoded. */
  feed(wal: Uint8Array): void {
    this.#reader.feed(wal);
    while (this.#reader.next()) {
      this.#reader.decode(this.#record);
      const { resourceManager, info, xid } = this.#record;
      if (resourceManager !== RM_XACT || (info & XLOG_XACT_OPMASK) !== XLOG_XACT_COMMIT) continue;
      this.endLsns.set(xid, this.#reader.endLsn);
    }
    if (this.#reader.end !== undefined) {
      throw new Error(`there are zeros in the WAL at ${formatLsn(this.#reader.end.lsn)}`);
    }
  }
}
