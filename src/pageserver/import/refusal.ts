import { BadRequestError, VarveError } from '../../base/errors.ts';

/**
 * Does what depends on what somebody has sent. What is damaged or missing of that is their fault, and not that of what is
 * stored here.
 * @throws BadRequestError for such, with the code of the damage, or INCOMPLETE; what else `action` throws
 */
export async function blameSender<Result>(action: () => Promise<Result>): Promise<Result> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof VarveError)) throw error;
    const { kind, code, reason, place } = error;
    if (kind === 'corruption') throw new BadRequestError(code, reason, place, error);
    if (code === 'FILE_NOT_FOUND') throw new BadRequestError('INCOMPLETE', reason, place, error);
    throw error;
  }
}
