import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  checkMembership,
  hasQuorum,
  isMember,
  type MembershipConfiguration,
  NO_MEMBERSHIP,
  quorumPosition,
} from './membership.ts';

const set = (...ids: number[]): MembershipConfiguration['members'] =>
  ids.map((id) => ({ id, host: `sk${id}`, pgPort: 5454 }));
const conf = (members: number[], newMembers?: number[]): MembershipConfiguration => ({
  generation: 1,
  members: set(...members),
  newMembers: newMembers === undefined ? undefined : set(...newMembers),
});

describe('a membership configuration', () => {
  test('names each safekeeper once and has somebody to decide', () => {
    expect(() => checkMembership(NO_MEMBERSHIP)).not.toThrow();
    expect(() => checkMembership(conf([1, 2, 3], [2, 3, 4]))).not.toThrow();
    expect(() => checkMembership(conf([]))).toThrow(/generation 1 has no members/);
    expect(() => checkMembership(conf([1, 1]))).toThrow(/twice/);
    expect(() => checkMembership(conf([1], []))).toThrow(/no new members/);
    expect(() => checkMembership(conf(Array.from({ length: 33 }, (_, index) => index)))).toThrow(
      /33 members/,
    );
    expect([1, 4, 5].map((id) => isMember(conf([1, 2, 3], [2, 3, 4]), id))).toEqual([true, true, false]);
  });

  test.each<[number[], number[] | undefined, number[], boolean]>([
    [[1, 2, 3], undefined, [1, 2], true],
    [[1, 2, 3], undefined, [1], false],
    [[1, 2, 3, 4], undefined, [1, 2], false],
    [[1, 2, 3], [4, 5, 6], [1, 2, 4], false],
    [[1, 2, 3], [4, 5, 6], [1, 2, 4, 5], true],
    [[1, 2, 3], [3, 4, 5], [2, 3, 4], true],
    [[1], undefined, [1], true],
  ])('%j joint with %j: %j is a quorum: %s', (members, newMembers, have, expected) => {
    expect(hasQuorum(conf(members, newMembers), (id) => have.includes(id))).toBe(expected);
  });

  test('a position is reached by a quorum if and only if it is at or below the quorum position', () => {
    const ids = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(
        ids,
        fc.option(ids, { nil: undefined }),
        fc.array(fc.nat(6), { minLength: 10, maxLength: 10 }),
        (members, newMembers, positions) => {
          const configuration = conf(members, newMembers);
          const position = quorumPosition(configuration, (id) => positions[id] as number);
          for (let wanted = 0; wanted <= 7; wanted++) {
            expect(hasQuorum(configuration, (id) => (positions[id] as number) >= wanted)).toBe(
              wanted <= position,
            );
          }
        },
      ),
    );
  });
});
