import { expect, test } from 'vitest';
import { nodeFiles } from '../io/node/files.ts';
import type { CliContext } from './context.ts';
import { formatBytes, Progress } from './progress.ts';

function makeTerminal(options: { isJson?: boolean; isTerminal?: boolean; isOutputTerminal?: boolean } = {}) {
  const state = { nowMs: 0, shown: [] as string[] };
  const context: CliContext = {
    version: '0',
    runtime: { version: '0', platform: '0' },
    isJson: options.isJson ?? false,
    output: {
      isTerminal: options.isOutputTerminal ?? false,
      write: async () => undefined,
      writeJson: async () => undefined,
    },
    diagnostics: {
      isTerminal: options.isTerminal ?? true,
      write: (text) => state.shown.push(text),
      nowMs: () => state.nowMs,
    },
    files: nodeFiles,
    environment: {},
    answerNo: () => undefined,
  };
  return { state, progress: new Progress(context, 'reading') };
}

test('is shown after a second, now and then, and taken away', () => {
  const { state, progress } = makeTerminal();
  for (const nowMs of [500, 999, 1000, 1100, 1200]) {
    state.nowMs = nowMs;
    progress.report(nowMs * 1024, 2000 * 1024);
  }
  progress.clear();
  progress.clear();
  expect(state.shown).toEqual([
    '\r\x1b[Kreading: 50 % of 2.0 MiB',
    '\r\x1b[Kreading: 60 % of 2.0 MiB',
    '\r\x1b[K',
  ]);
});

test('is not shown to who sees the result appear', () => {
  const { state, progress } = makeTerminal({ isOutputTerminal: true });
  for (const nowMs of [900, 1800, 2700]) {
    state.nowMs = nowMs;
    progress.report(1, 2);
    progress.clear();
  }
  expect(state.shown).toEqual([]);
});

test.each([{ isTerminal: false }, { isJson: true }])('is not shown with %j', (options) => {
  const { state, progress } = makeTerminal(options);
  state.nowMs = 5000;
  progress.report(1, 2);
  progress.clear();
  expect(state.shown).toEqual([]);
});

test('bytes', () => {
  expect([formatBytes(0), formatBytes(1536), formatBytes(3.5 * 1024 * 1024)]).toEqual([
    '0.0 KiB',
    '1.5 KiB',
    '3.5 MiB',
  ]);
});
