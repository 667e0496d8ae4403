import { VarveError } from '../base/errors.ts';
import { type Lsn, parseLsn } from '../base/lsn.ts';
import type { SafekeeperAddress } from '../contracts/membership.ts';
import { ProtocolError } from '../postgres/wire/wire-error.ts';
import { connectToSafekeeper } from '../proposer/safekeeper-connection.ts';
import type { ComputeDoors, ComputeOptions } from './options.ts';

const CONNECT_TIMEOUT_MS = 3000;

type Access = Pick<
  ComputeOptions,
  'tenantId' | 'timelineId' | 'membership' | 'safekeeperToken' | 'safekeeperTls'
>;
type Doors = Pick<ComputeDoors, 'sockets' | 'clock' | 'random' | 'logger'>;

/**
 * How far a branch is committed, as far as those safekeepers know that answer. They are told shortly after the commits
 * themselves.
 * @throws VarveError ‘unavailable’ where none answers; what the first one fails of, if that does not pass
 */
export async function askCommittedLsn(access: Access, doors: Doors, signal: AbortSignal): Promise<Lsn> {
  const { members, newMembers } = access.membership;
  const places = new Map([...members, ...(newMembers ?? [])].map((each) => [each.id, each]));
  const outcomes = await Promise.allSettled(
    [...places.values()].map((address) => askOne(address, access, doors, signal)),
  );
  const lsns = outcomes.filter((outcome) => outcome.status === 'fulfilled').map(({ value }) => value);
  if (lsns.length > 0) return Math.max(...lsns) as Lsn;
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  throw failed?.reason ?? new VarveError('unavailable', 'NO_SAFEKEEPER', 'no safekeeper is known');
}

async function askOne(
  address: SafekeeperAddress,
  { tenantId, timelineId, safekeeperToken, safekeeperTls }: Access,
  doors: Doors,
  signal: AbortSignal,
): Promise<Lsn> {
  const login = {
    tenantId,
    timelineId,
    ...(safekeeperToken === undefined ? {} : { password: safekeeperToken }),
    ...(safekeeperTls === undefined ? {} : { tls: safekeeperTls }),
  };
  const client = await connectToSafekeeper(address, login, CONNECT_TIMEOUT_MS, doors, signal);
  try {
    const { columns, rows } = await client.query('TIMELINE_STATUS');
    const text = rows[0]?.[columns.indexOf('commit_lsn')];
    if (typeof text === 'string') return parseLsn(text);
  } finally {
    await client.close();
  }
  throw new ProtocolError('BAD_TIMELINE_STATUS', 'a safekeeper does not say what is committed');
}
