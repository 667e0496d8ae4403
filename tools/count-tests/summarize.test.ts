import { expect, test } from 'vitest';
import { summarize } from './summarize.ts';

const report = (counts: Record<string, unknown>): string =>
  JSON.stringify({
    success: true,
    numPassedTests: 3,
    numFailedTests: 0,
    numPendingTests: 0,
    numTodoTests: 0,
    testResults: [],
    ...counts,
  });

test('all have passed', () => {
  expect(summarize(report({}))).toEqual({ line: '3 passed, 0 failed', isPassed: true });
});

test('some were skipped', () => {
  const text = report({ numPendingTests: 2, numTodoTests: 1 });
  expect(summarize(text)).toEqual({ line: '3 passed, 0 failed, 3 skipped', isPassed: true });
});

test('one has failed', () => {
  const testResults = [{ status: 'failed', assertionResults: [{ status: 'passed' }, { status: 'failed' }] }];
  const text = report({ success: false, numFailedTests: 1, testResults });
  expect(summarize(text)).toEqual({ line: '3 passed, 1 failed', isPassed: false });
});

test('a file that cannot be loaded counts as failed', () => {
  const text = report({ success: false, testResults: [{ status: 'failed', assertionResults: [] }] });
  expect(summarize(text)).toEqual({ line: '3 passed, 1 failed', isPassed: false });
});

test.each([
  ['vitest has not come to its end', ''],
  ['vitest has broken off while it wrote', report({}).slice(0, -5)],
  ['no test has run', report({ numPassedTests: 0 })],
])('%s: not passed', (_, text) => {
  expect(summarize(text)).toEqual({ line: '0 passed, 0 failed', isPassed: false });
});
