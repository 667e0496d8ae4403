import { expect, test } from 'vitest';
import { didYouMean, nearestName } from './nearest-name.ts';

const NAMES = ['port', 'api-port', 'host', 'suspend-after', 'dir'];

test.each([
  ['prot', 'port'],
  ['suspend_after', 'suspend-after'],
  ['api-prt', 'api-port'],
  ['hots', 'host'],
  ['dri', 'dir'],
  ['xy', undefined],
  ['colour', undefined],
  ['', undefined],
])('%s is taken for %s', (written, meant) => {
  expect(nearestName(written, NAMES)).toBe(meant);
});

test('nothing is suggested where nothing is near', () => {
  expect(didYouMean('prot', NAMES)).toBe(' (did you mean port?)');
  expect(didYouMean('colour', NAMES)).toBe('');
});
