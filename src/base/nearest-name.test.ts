import { expect, test } from 'vitest';
import { findNearestName } from './nearest-name.ts';

const NAMES = ['settings', 'roles', 'databases', 'sharedPreloadLibraries'];

test.each([
  ['setings', 'settings'],
  ['Roles', 'roles'],
  ['database', 'databases'],
  ['sharedPreloadLibs', undefined],
  ['shared_preload_libraries', 'sharedPreloadLibraries'],
  ['tls', undefined],
  ['', undefined],
])('%s may mean %s', (written, meant) => {
  expect(findNearestName(written, NAMES)).toBe(meant);
});
