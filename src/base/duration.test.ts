import { expect, test } from 'vitest';
import { formatDuration, parseDuration } from './duration.ts';

test.each([
  ['20s', 20_000],
  ['500ms', 500],
  ['7days', 604_800_000],
  ['1h 30m', 5_400_000],
  ['1h30m', 5_400_000],
  ['0', 0],
  ['0s', 0],
  ['1 week', 604_800_000],
])('%s is %d ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
  expect(parseDuration(formatDuration(ms))).toBe(ms);
});

test.each(['', '5', 's', '-1s', '1.5s', '1 fortnight', '1h 5', '99999999999999999999d', ' 1s'])(
  '“%s” is refused',
  (text) => {
    expect(() => parseDuration(text)).toThrowError(expect.objectContaining({ code: 'BAD_DURATION' }));
  },
);

test.each([
  [604_800_000, '7days'],
  [86_400_000, '1day'],
  [5_400_000, '1h 30m'],
  [1_500, '1s 500ms'],
  [0, '0s'],
])('%d ms is written as %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});
