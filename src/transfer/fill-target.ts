import { VarveError } from '../base/errors.ts';
import type { TargetDatabase } from './target-database.ts';

/**
 * Does work on a database. Where it fails, or the signal is given, nothing of it is left: the server's sessions are ended,
 * and with them their transactions; a database that was made for this is dropped.
 * @param work calls its argument before it commits: from then on the signal is not heeded, which otherwise throws
 * @throws what the work does; ‘cancelled’ / CANCELLED after the signal; with what could not be taken back, if so
 */
export async function fillTarget<Result>(
  target: TargetDatabase,
  signal: AbortSignal,
  work: (beginCommit: () => void) => Promise<Result>,
): Promise<Result> {
  let givingUp: Promise<void> | undefined;
  const giveUp = (): void => {
    givingUp = target.giveUp();
    // Whether that went well is asked below.
    givingUp.catch(() => undefined);
  };
  const beginCommit = (): void => {
    signal.throwIfAborted();
    signal.removeEventListener('abort', giveUp);
  };
  signal.addEventListener('abort', giveUp, { once: true });
  let result: Result;
  try {
    signal.throwIfAborted();
    result = await work(beginCommit);
  } catch (error) {
    signal.removeEventListener('abort', giveUp);
    const failure = givingUp === undefined ? error : interrupted(error);
    try {
      await (givingUp ?? target.giveUp());
      await target.dispose(false);
    } catch (second) {
      throw notUndone(failure, second);
    }
    throw failure;
  }
  await target.dispose(true);
  return result;
}

const interrupted = (error: unknown): VarveError =>
  new VarveError('cancelled', 'CANCELLED', 'interrupted: the branch is as it was before', {}, error);

/** The server is gone, say, and undoes what it has not committed when it comes again. */
function notUndone(error: unknown, second: unknown): unknown {
  if (!(error instanceof VarveError) || error.kind === 'assertion') return error;
  const why = second instanceof Error ? second.message : String(second);
  const { kind, code } = error;
  const reason = `${error.reason.replace(/: the branch is as it was before$/, '')}; what was begun may be left (${why})`;
  return new VarveError(kind, code, reason, {}, error);
}
