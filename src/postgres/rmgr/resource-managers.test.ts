import { expect, test } from 'vitest';
import { UnknownRecordError } from '../../base/errors.ts';
import { getResourceManager, resourceManagers } from './resource-managers.ts';

test('every resource manager stands at its number', () => {
  expect(resourceManagers.map((manager) => manager.id)).toEqual(resourceManagers.map((_, index) => index));
  expect(resourceManagers.length).toBe(22);
});

test('a kind name belongs to the list of kinds, and every listed kind has an info byte', () => {
  for (const manager of resourceManagers) {
    const named = new Set<string>();
    for (let info = 0; info < 256; info += 16) {
      const name = manager.kindName(info);
      if (name !== undefined) named.add(name);
      expect(manager.kindName(info | 0x03), 'the low four bits do not count').toBe(name);
    }
    expect([...named].sort(), manager.name).toEqual([...manager.kinds].sort());
  }
});

test('a number without a resource manager is refused by name', () => {
  expect(() => getResourceManager(134, 0x10, 0x1000)).toThrow(UnknownRecordError);
  expect(() => getResourceManager(22, 0, 0)).toThrow(/resource manager 22/);
});
