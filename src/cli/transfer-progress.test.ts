import { expect, test } from 'vitest';
import { nodeFiles } from '../io/node/files.ts';
import type { CliContext } from './context.ts';
import { TransferProgress } from './transfer-progress.ts';

function makeProgress(isTerminal: boolean) {
  const state = { nowMs: 0, shown: [] as string[] };
  const context: CliContext = {
    version: '0',
    runtime: { version: '0', platform: '0' },
    isJson: false,
    output: { isTerminal: false, write: async () => undefined, writeJson: async () => undefined },
    diagnostics: {
      isTerminal,
      write: (text) => state.shown.push(text),
      nowMs: () => state.nowMs,
    },
    files: nodeFiles,
    environment: {},
    answerNo: () => undefined,
  };
  return { state, progress: new TransferProgress(context) };
}

test('a person sees bytes and rows, and of what', () => {
  const { state, progress } = makeProgress(true);
  progress.onStep('connecting');
  state.nowMs = 600;
  progress.onStep('copying rows');
  state.nowMs = 2000;
  const mebibyte = 1024 * 1024;
  progress.onCopied({ rows: 1234, bytes: 4 * mebibyte, part: 0.5, table: 'public.a\x1b[2J' });
  progress.onCopied({ rows: 1235, bytes: 5 * mebibyte, part: 0.6, table: 'public.a' });
  state.nowMs = 2500;
  progress.onCopied({ rows: 9, bytes: mebibyte, part: undefined, table: 't'.repeat(90) });
  progress.clear();
  progress.clear();
  expect(state.shown).toEqual([
    '\r\x1b[Kcopying rows …',
    '\r\x1b[K██████████░░░░░░░░░░ 50 % 4.0 MiB, 1,234 rows, 2.0 MiB/s · public.a?[2J',
    `\r\x1b[K${`1.0 MiB, 9 rows, 409.6 KiB/s · ${'t'.repeat(90)}`.slice(0, 79)}`,
    '\r\x1b[K',
  ]);
});

test('nobody else does', () => {
  const { state, progress } = makeProgress(false);
  state.nowMs = 5000;
  progress.onStep('copying rows');
  progress.onCopied({ rows: 1, bytes: 1, part: 1, table: 't' });
  progress.clear();
  expect(state.shown).toEqual([]);
});
