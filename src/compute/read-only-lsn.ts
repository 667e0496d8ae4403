import { BadRequestError, VarveError } from '../base/errors.ts';
import { formatInstant } from '../base/instant.ts';
import { formatLsn, type Lsn } from '../base/lsn.ts';
import { connectPageService } from '../page-client/connect-page-service.ts';
import { lsnAtTime } from '../page-client/page-commands.ts';
import { askCommittedLsn } from './committed-lsn.ts';
import type { ComputeDoors, ComputeMode, ComputeOptions } from './options.ts';
import { pageServiceOptions } from './page-service-options.ts';

type ReadOnlyMode = Extract<ComputeMode, { readonly kind: 'read-only' }>;

/**
 * The LSN that a read-only compute has its branch at. A time is the LSN at which all is there that was committed up to then,
 * and nothing that was committed later.
 * @throws VarveError ‘bad-request’ / TIME_IN_FUTURE; ‘precondition’ / TIME_BEFORE_HISTORY, NO_COMMITS; ‘unavailable’ where
 * storage does not answer, or has not all that was committed
 */
export async function findReadOnlyLsn(
  options: ComputeOptions,
  mode: ReadOnlyMode,
  doors: ComputeDoors,
  signal: AbortSignal,
): Promise<Lsn> {
  if ('lsn' in mode) return mode.lsn;
  const { timeMicros } = mode;
  const time = formatInstant(timeMicros);
  if (timeMicros > BigInt(Math.floor(doors.clock.wallMs() * 1000))) {
    throw new BadRequestError('TIME_IN_FUTURE', `${time} is still to come`);
  }
  const found = await ask(options, timeMicros, doors, signal);
  switch (found.kind) {
    case 'present':
      return found.lsn;
    case 'past': {
      const reason = `the history that is kept of the branch begins later than ${time}`;
      throw new VarveError('precondition', 'TIME_BEFORE_HISTORY', reason, { lsn: found.lsn });
    }
    case 'nodata':
      await checkComplete(options, found.lsn, time, doors, signal);
      throw new VarveError(
        'precondition',
        'NO_COMMITS',
        'there is no commit in the branch to find a time by',
      );
    case 'future':
      return await checkComplete(options, found.lsn, time, doors, signal);
  }
}

/** Nothing later is known to the pageserver, which may be behind: what safekeepers have may be earlier than the time. */
async function checkComplete(
  options: ComputeOptions,
  lsn: Lsn,
  time: string,
  doors: ComputeDoors,
  signal: AbortSignal,
): Promise<Lsn> {
  const committedLsn = await askCommittedLsn(options, doors, signal);
  if (lsn >= committedLsn) return lsn;
  const reason = `the pageserver is at ${formatLsn(lsn)}, and safekeepers have ${formatLsn(committedLsn)}: what is of ${time} is not known yet`;
  throw new VarveError('unavailable', 'PAGESERVER_BEHIND', reason, { lsn });
}

async function ask(
  options: ComputeOptions,
  timeMicros: bigint,
  doors: ComputeDoors,
  signal: AbortSignal,
): ReturnType<typeof lsnAtTime> {
  const connection = await connectPageService(doors, pageServiceOptions(options, signal));
  try {
    return await lsnAtTime(connection, options, timeMicros);
  } finally {
    await connection.close();
  }
}
