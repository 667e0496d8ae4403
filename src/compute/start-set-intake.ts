import { VarveError } from '../base/errors.ts';
import { formatLsn, type Lsn } from '../base/lsn.ts';
import type { StartSetHeader } from '../contracts/start-set.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { connectPageService } from '../page-client/connect-page-service.ts';
import { type CopiedOut, copyFromPageService } from '../page-client/page-commands.ts';
import { REPLICATION_SLOT_DIRECTORY } from '../postgres/files/replication-slot-file.ts';
import { DataDirectory, type Remainder, readForks } from './data-directory.ts';
import { pageServiceOptions } from './page-service-options.ts';
import { hostBasedAuthenticationText, settingsText, standbySettings, tlsTexts } from './server-settings.ts';
import type { StartContext } from './start-context.ts';
import { unpackStatistics } from './statistics-file.ts';
import type { StoragePatience } from './storage-patience.ts';
import { readTlsIdentity } from './tls-identity.ts';

/** MAXIMUM_ALIGNOF */
const RECORD_ALIGNMENT = 8;

/** The files of a start set that are not laid out. It may still be on its way when the server starts. */
export type Listing = Promise<Remainder>;

/** Takes a start set, and lays out a data directory. */
export class StartSetIntake {
  readonly #context: StartContext;
  readonly #patience: StoragePatience;
  #connecting: Promise<ClientConnection> | undefined;

  constructor(context: StartContext, patience: StoragePatience) {
    this.#context = context;
    this.#patience = patience;
  }

  /** A connection for the start set, while something else is waited for. */
  connectAhead(signal: AbortSignal): void {
    const connecting = connectPageService(
      this.#context.doors,
      pageServiceOptions(this.#context.options, signal),
    );
    // Whoever takes the start set over it is told what it fails of.
    connecting.catch(() => undefined);
    this.#connecting = connecting;
    this.#context.undo.defer(async () => {
      if (this.#connecting !== connecting) return;
      const connection = await connecting.catch(() => undefined);
      await connection?.close();
    });
  }

  /**
   * Resolves when a server can be started from what is laid out.
   * @throws VarveError ‘precondition’ for what does not fit the options; ‘conflict’ / WRONG_START; the disk’s; ‘cancelled’
   */
  async layOut(
    lsn: Lsn | undefined,
    signal: AbortSignal,
  ): Promise<{ cluster: DataDirectory; listing: Listing }> {
    const cluster = new DataDirectory(this.#context.doors.files, this.#context.directory.dataPath);
    const { listing } = await this.#context.times.time('start set', () =>
      this.#patience.until(signal, () => this.#takeStartSet(cluster, lsn, signal)),
    );
    this.#check(cluster.header, lsn);
    await Promise.all([
      unpackStatistics(this.#context.doors.files, cluster.path),
      this.#leaveOutSlots(cluster),
    ]);
    return { cluster, listing };
  }

  /** A server that makes no logical slots does not start where it finds one (slot.c, RestoreSlotFromDisk). */
  async #leaveOutSlots(cluster: DataDirectory): Promise<void> {
    const { files, logger } = this.#context.doors;
    const directory = `${cluster.path}/${REPLICATION_SLOT_DIRECTORY}`;
    const names = await files.list(directory);
    if (names.length === 0) return;
    logger.warn('The branch has logical slots, and a compute serves none', { names });
    await files.removeDirectory(directory);
    await files.makeDirectory(directory);
  }

  async #takeStartSet(
    directory: DataDirectory,
    lsn: Lsn | undefined,
    signal: AbortSignal,
  ): Promise<{ listing: Listing }> {
    directory.begin();
    await this.#context.doors.files.removeDirectory(directory.path);
    await this.#context.doors.servers.makeDirectory(directory.path);
    const writing = this.#writeTexts(directory);
    // It is awaited below, if nothing else fails before.
    writing.catch(() => undefined);
    const connecting =
      this.#connecting ??
      connectPageService(this.#context.doors, pageServiceOptions(this.#context.options, signal));
    this.#connecting = undefined;
    const connection = await connecting;
    const ready = Promise.withResolvers<void>();
    const listing = this.#receive(connection, directory, lsn, ready.resolve);
    // It is awaited as the list, and below.
    listing.catch(() => undefined);
    this.#context.undo.defer(async () => {
      connection.abort(new VarveError('cancelled', 'CLOSING', 'the start is given up'));
      await listing.catch(() => undefined);
    });
    await Promise.all([Promise.race([ready.promise, listing]), writing]);
    return { listing: this.#orAgain(listing, directory, signal) };
  }

  /** The files are laid out, and a server may run on them: where the list breaks off, only that is brought again. */
  async #orAgain(
    listing: Listing,
    { header, segments }: DataDirectory,
    signal: AbortSignal,
  ): Promise<Remainder> {
    try {
      return await listing;
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind !== 'unavailable') throw error;
    }
    return await this.#patience.until(signal, async () => {
      const connection = await connectPageService(
        this.#context.doors,
        pageServiceOptions(this.#context.options, signal),
      );
      try {
        const startSet = copyFromPageService(connection, this.#command(header.recordEndLsn));
        return { segments, forks: await readForks(startSet) };
      } finally {
        await connection.close();
      }
    });
  }

  #command(lsn: Lsn | undefined): CopiedOut {
    const { tenantId, timelineId, mode } = this.#context.options;
    return { kind: 'StartSet', tenantId, timelineId, ...(lsn === undefined ? {} : { lsn }), form: mode.kind };
  }

  async #receive(
    connection: ClientConnection,
    directory: DataDirectory,
    lsn: Lsn | undefined,
    onReady: () => void,
  ): Promise<Remainder> {
    try {
      return await directory.layOut(copyFromPageService(connection, this.#command(lsn)), onReady);
    } finally {
      await connection.close();
    }
  }

  #check(header: StartSetHeader, startLsn: Lsn | undefined): void {
    const { postgresMajor, walSegmentBytes } = this.#context.options;
    if (header.postgresMajor !== postgresMajor) {
      const reason = `the branch is of PostgreSQL ${header.postgresMajor}, the programs are of ${postgresMajor}`;
      throw new VarveError('precondition', 'WRONG_POSTGRES_MAJOR', reason);
    }
    if (header.walSegmentBytes !== walSegmentBytes) {
      const reason = `the branch's WAL is in segments of ${header.walSegmentBytes} bytes, not ${walSegmentBytes}`;
      throw new VarveError('precondition', 'WRONG_SEGMENT_SIZE', reason);
    }
    // What is asked for of the past is rounded down to the end of a record.
    if (startLsn === undefined || this.#context.options.mode.kind === 'read-only') return;
    if (header.recordEndLsn !== nextRecordLsn(startLsn)) {
      const reason = `storage begins at ${formatLsn(header.recordEndLsn)}, and the election has given ${formatLsn(startLsn)}`;
      throw new VarveError('conflict', 'WRONG_START', reason, { lsn: startLsn });
    }
  }

  async #writeTexts(directory: DataDirectory): Promise<void> {
    const { settings, hostBasedAuthentication, mode, tls } = this.#context.options;
    const standby = mode.kind === 'standby' ? await standbySettings(this.#context.options) : {};
    const texts = {
      'postgresql.conf': settingsText({ ...settings, ...standby }),
      'pg_hba.conf': hostBasedAuthenticationText(hostBasedAuthentication),
      'pg_ident.conf': '',
      // The server would say that it is missing, at each start.
      'postgresql.auto.conf': '',
      ...(tls === undefined ? {} : tlsTexts(await readTlsIdentity(tls, this.#context.doors.files))),
    };
    for (const [name, text] of Object.entries(texts)) {
      const bytes = new TextEncoder().encode(text);
      const path = `${directory.path}/${name}`;
      this.#context.doors.files.writeFileNow(path, bytes.length, [{ offset: 0, bytes }]);
    }
  }
}

/** Records are aligned, and what a log has behind the last one is nothing. */
export const nextRecordLsn = (lsn: Lsn): Lsn => (Math.ceil(lsn / RECORD_ALIGNMENT) * RECORD_ALIGNMENT) as Lsn;
