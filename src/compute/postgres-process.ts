import { VarveError } from '../base/errors.ts';
import { untilCancelled } from '../io/cancelled.ts';
import type { Clock } from '../io/clock.ts';
import type { Files } from '../io/files.ts';
import { readWholeFile } from '../io/read-whole-file.ts';
import { pause } from '../io/retry-delay.ts';
import type { ServerProgram } from '../io/servers.ts';
import { parsePostmasterFile } from './postmaster-file.ts';

const POLL_MS = 2;
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
  const path = `${dataDirectory}/postmaster.pid`;
  const deadlineMs = clock.monotonicMs() + timeoutMs;
  for (;;) {
    const found = parsePostmasterFile(await readText(files, path));
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
