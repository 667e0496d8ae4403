import { VarveError } from '../../base/errors.ts';
import type { Logger } from '../../observe/log.ts';

/** Removes what nobody needs. What fails here is done at the next start. */
export async function removeIfPossible(
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
  what: string,
  remove: () => Promise<void>,
): Promise<void> {
  try {
    await remove();
  } catch (error) {
    if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
    if (!signal.aborted) log.warn('A file that is not needed stays until the next start', { what, error });
  }
}
