import { VarveError } from '../base/errors.ts';
import { untilCancelled } from '../io/cancelled.ts';
import type { Clock } from '../io/clock.ts';
import type { Files, ReadableFile } from '../io/files.ts';
import { readWholeFile } from '../io/read-whole-file.ts';
import { pause } from '../io/retry-delay.ts';
import type { ServerProgram } from '../io/servers.ts';
import { parsePostmasterFile } from './postmaster-file.ts';

const POLL_MS = 1;
/** More than a server's lock file has. */
const LOCK_FILE_BYTES_MAX = 4096;
/** Of the end of what the server has printed, for whoever has to find out why it did not start. */
const OUTPUT_BYTES_MAX = 4000;

/** What has ended or not ended as a server. */
export interface RunningPostgres {
  readonly program: ServerProgram;
  readonly dataDirectory: string;
  readonly outputPath: string;
}

/**
 * Waits until the server lets connections in.
 * @param inRecovery a standby that lets readers in is what is waited for
 * @throws VarveError ‘unavailable’ / POSTGRES_ENDED, POSTGRES_NOT_READY, with what it has printed last; ‘cancelled’
 */
export async function untilReady(
  { program, dataDirectory, outputPath }: RunningPostgres,
  { files, clock }: { readonly files: Files; readonly clock: Clock },
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  let end: string | undefined;
  void program.ended.then((reason) => {
    end = reason;
  });
  await using lockFile = new LockFile(files, `${dataDirectory}/postmaster.pid`);
  const deadlineMs = clock.monotonicMs() + timeoutMs;
  for (;;) {
    const found = parsePostmasterFile(await lockFile.read());
    if (found?.pid === program.identity.pid && found.status === 'ready') return;
    if (end !== undefined) {
      const output = await tailOf(files, outputPath);
      throw new VarveError('unavailable', 'POSTGRES_ENDED', `the server did not start (${end}): ${output}`);
    }
    if (clock.monotonicMs() > deadlineMs) {
      const output = await tailOf(files, outputPath);
      const reason = `the server does not let anybody in after ${timeoutMs} ms: ${output}`;
      throw new VarveError('unavailable', 'POSTGRES_NOT_READY', reason);
    }
    await untilCancelled(signal, pause(clock, POLL_MS, signal));
  }
}

/** A server's lock file, which it makes once and then writes in place: looking at it again and again costs next to nothing. */
class LockFile implements AsyncDisposable {
  readonly #files: Files;
  readonly #path: string;
  readonly #bytes = new Uint8Array(LOCK_FILE_BYTES_MAX);
  #file: ReadableFile | undefined;

  constructor(files: Files, path: string) {
    this.#files = files;
    this.#path = path;
  }

  /** Empty where it is not there yet. */
  async read(): Promise<string> {
    this.#file ??= await openIfThere(this.#files, this.#path);
    if (this.#file === undefined) return '';
    let length = this.#file.readNow(this.#bytes, 0, LOCK_FILE_BYTES_MAX, 0);
    if (length < 0) length = await this.#file.read(this.#bytes, 0, LOCK_FILE_BYTES_MAX, 0);
    return new TextDecoder().decode(this.#bytes.subarray(0, length));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
  }
}

async function openIfThere(files: Files, path: string): Promise<ReadableFile | undefined> {
  try {
    return await files.open(path);
  } catch (error) {
    if (error instanceof VarveError && error.code === 'FILE_NOT_FOUND') return undefined;
    throw error;
  }
}

/** The end of what a server has printed. */
export async function tailOf(files: Files, path: string): Promise<string> {
  return (await readText(files, path)).slice(-OUTPUT_BYTES_MAX).trim();
}

/** Empty where there is none. */
export async function readText(files: Files, path: string): Promise<string> {
  try {
    return new TextDecoder().decode(await readWholeFile(files, path));
  } catch (error) {
    if (error instanceof VarveError && error.code === 'FILE_NOT_FOUND') return '';
    throw error;
  }
}
