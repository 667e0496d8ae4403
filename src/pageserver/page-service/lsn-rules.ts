import { BadRequestError } from '../../base/errors.ts';
import { formatLsn, INVALID_LSN } from '../../base/lsn.ts';
import { LATEST } from '../../contracts/page-messages.ts';

/**
 * Refuses LSNs that contradict each other. Whether a timeline still promises them is for it to say.
 * @throws BadRequestError BAD_REQUEST_LSN
 */
export function checkRequestLsns(requestLsn: number, notModifiedSince: number): void {
  if (requestLsn === INVALID_LSN) throw badLsn('a request is as of no LSN');
  if (notModifiedSince === LATEST)
    throw badLsn('nobody knows of pages that were not modified since the end of time');
  if (requestLsn >= notModifiedSince) return;
  throw badLsn(
    `a request as of ${formatLsn(requestLsn)} says that there was no change since ${formatLsn(notModifiedSince)}, which is later`,
  );
}

/**
 * The LSN at which a request is answered, once WAL up to `notModifiedSince` has been taken in: as new as is known, but not
 * newer than was asked for.
 */
export function effectiveLsn(requestLsn: number, lastRecordLsn: number): number {
  return requestLsn < lastRecordLsn ? requestLsn : lastRecordLsn;
}

function badLsn(reason: string): BadRequestError {
  return new BadRequestError('BAD_REQUEST_LSN', reason);
}
