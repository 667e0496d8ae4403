import { BadRequestError } from '../base/errors.ts';

/** A safekeeper as a configuration names it. */
export interface SafekeeperAddress {
  readonly id: number;
  readonly host: string;
  /** Port of the libpq front door. */
  readonly pgPort: number;
}

/**
 * Who keeps a timeline's WAL. While `newMembers` is set the configuration is joint: a decision needs a majority of
 * both sets. Generation 0 is the configuration of a timeline that has none: it has no members.
 */
export interface MembershipConfiguration {
  readonly generation: number;
  readonly members: readonly SafekeeperAddress[];
  readonly newMembers: readonly SafekeeperAddress[] | undefined;
}

export const NO_MEMBERSHIP: MembershipConfiguration = { generation: 0, members: [], newMembers: undefined };

/** Most safekeepers that one set may have. */
export const MEMBERS_MAX = 32;

/**
 * Refuses a configuration that could not decide anything or that names a safekeeper twice.
 * @throws BadRequestError
 */
export function checkMembership(configuration: MembershipConfiguration): void {
  const { generation, members, newMembers } = configuration;
  if (generation !== 0 && members.length === 0) fail(`generation ${generation} has no members`);
  if (newMembers !== undefined && newMembers.length === 0) fail('a joint configuration has no new members');
  for (const set of [members, newMembers ?? []]) {
    if (set.length > MEMBERS_MAX) fail(`a set has ${set.length} members, ${MEMBERS_MAX} at most are allowed`);
    if (new Set(set.map(({ id }) => id)).size !== set.length) fail('a set names a safekeeper twice');
  }
}

function fail(reason: string): never {
  throw new BadRequestError('BAD_MEMBERSHIP', `the membership configuration is wrong: ${reason}`);
}

export function isMember(configuration: MembershipConfiguration, id: number): boolean {
  const { members, newMembers } = configuration;
  return members.some((member) => member.id === id) || (newMembers ?? []).some((member) => member.id === id);
}

/** Least number of a set's members that is more than half of them. */
export function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

/** True if those of whom `has` is true are a majority, in a joint configuration of both sets. */
export function hasQuorum(configuration: MembershipConfiguration, has: (id: number) => boolean): boolean {
  return setsOf(configuration).every(
    (set) => set.filter(({ id }) => has(id)).length >= majorityOf(set.length),
  );
}

/**
 * The highest position that a quorum has reached, when `positionOf` tells how far each member is (0: nothing): in
 * each set the one that a majority is at or beyond, and of both sets the lower.
 */
export function quorumPosition(
  configuration: MembershipConfiguration,
  positionOf: (id: number) => number,
): number {
  const positions = setsOf(configuration).map((set) => {
    const ascending = set.map(({ id }) => positionOf(id)).sort((left, right) => left - right);
    return ascending[set.length - majorityOf(set.length)] ?? 0;
  });
  return Math.min(...positions);
}

function setsOf({ members, newMembers }: MembershipConfiguration): readonly (readonly SafekeeperAddress[])[] {
  return newMembers === undefined ? [members] : [members, newMembers];
}
