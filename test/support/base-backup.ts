import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { Client, type ClientConfig } from 'pg';

const NEW_ARCHIVE = 'n'.charCodeAt(0);
const DATA = 'd'.charCodeAt(0);

interface CopyDataMessage {
  readonly chunk: Buffer;
}

/** What `pg` calls while the answer comes: the rows before and after the stream say what nobody asks for here. */
class BaseBackupQuery {
  readonly #sql: string;
  readonly #output: PassThrough;
  #archives = 0;

  constructor(sql: string, output: PassThrough) {
    this.#sql = sql;
    this.#output = output;
  }

  submit(connection: { query(sql: string): void }): void {
    connection.query(this.#sql);
  }

  handleRowDescription(): void {
    // Of where it begins and ends, which the archive says too.
  }

  handleDataRow(): void {
    // Of where it begins and ends, which the archive says too.
  }

  handleCommandComplete(): void {
    // Of where it begins and ends, which the archive says too.
  }

  /** basebackup_copy.c, bbsink_copystream: the first byte says what follows. */
  handleCopyData({ chunk }: CopyDataMessage): void {
    if (chunk[0] === NEW_ARCHIVE && ++this.#archives > 1)
      this.#output.destroy(new Error('a backup has a second archive'));
    // The bytes are the parser's, which uses them again.
    if (chunk[0] === DATA) this.#output.write(Buffer.from(chunk.subarray(1)));
  }

  handleReadyForQuery(): void {
    this.#output.end();
  }

  handleError(error: Error): void {
    this.#output.destroy(error);
  }
}

/** The archive that pg_basebackup asks for, with its WAL, of a cluster without other tablespaces. */
export async function* baseBackup(config: ClientConfig): AsyncGenerator<Uint8Array> {
  const client = new Client({ ...config, replication: 'true' } as ClientConfig);
  const output = new PassThrough();
  client.on('error', (error) => output.destroy(error));
  await client.connect();
  try {
    client.query(
      new BaseBackupQuery(
        "BASE_BACKUP (LABEL 'copied', WAL, CHECKPOINT 'fast', MANIFEST 'no')",
        output,
      ) as never,
    );
    yield* output;
    if (!output.readableEnded) await once(output, 'end');
  } finally {
    await client.end();
  }
}
