import { expect, test } from 'vitest';
import { changedLines } from './page-text.ts';

const line = (label: string, text: string): { label: string; text: string } => ({ label, text });

test('lines are compared by their labels: changed, gone and come', () => {
  const before = [line('header', 'a'), line('item 1', 'same'), line('item 2', 'old'), line('item 3', 'gone')];
  const after = [line('header', 'a'), line('item 1', 'same'), line('item 2', 'new'), line('item 4', 'come')];
  expect(changedLines(before, after)).toEqual([
    { label: 'item 2', before: 'old', after: 'new' },
    { label: 'item 3', before: 'gone', after: undefined },
    { label: 'item 4', before: undefined, after: 'come' },
  ]);
  expect(changedLines(before, before)).toEqual([]);
});
