import { expect, test } from 'vitest';
import { SafetyViolation } from '../checkers/safety-violation.ts';
import { walk } from './walk.ts';
import type { Mutant, World } from './world.ts';

const STEPS = 600;

test('2000 random walks keep every rule, and heal', () => {
  const refusals = new Set<string>();
  let [cuts, elections, generations] = [0, 0, 0];
  for (let seed = 1; seed <= 2000; seed++) {
    const world: World = walk({ seed, steps: STEPS });
    for (const code of world.refusals.keys()) refusals.add(code);
    for (const { disk } of world.acceptors) cuts += disk.cutCount;
    elections += world.observer.elections.count;
    generations += world.controller.current.generation;
  }
  // The walks get to where it matters.
  expect(cuts).toBeGreaterThan(300);
  expect(elections).toBeGreaterThan(2000);
  expect(generations).toBeGreaterThan(2000);
  expect([...refusals].sort()).toEqual(['APPEND_NOT_CONTIGUOUS', 'GENERATION_MISMATCH', 'START_MISMATCH']);
});

test.each<[Mutant, RegExp]>([
  ['sync-lies', /^ack-durability/],
  ['state-is-lost', /^(monotony|vote-once|election-safety)/],
  ['tail-comes-back', /^(log-safety|log-matching|commit-durability)/],
  ['votes-for-all', /^election-safety/],
  ['generation-ignored', /^(commit-durability|election-safety)/],
  ['history-forgotten', /./],
  ['append-ahead', /./],
])('the checkers see the mutant %s', (mutant, rule) => {
  let found: unknown;
  for (let seed = 1; seed <= 8000 && found === undefined; seed++) {
    try {
      walk({ seed, steps: STEPS, mutant });
    } catch (error) {
      found = error;
    }
  }
  expect(found).toBeInstanceOf(SafetyViolation);
  expect((found as SafetyViolation).message).toMatch(rule);
});
