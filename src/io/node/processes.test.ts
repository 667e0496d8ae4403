import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { nodeProcesses } from './processes.ts';
import { findAccount } from './unprivileged-account.ts';

const never = new AbortController().signal;

test('a program runs in its directory, without rights, and sees only what it is to see', async () => {
  let path: string;
  {
    await using directory = await nodeProcesses.openDirectory();
    path = directory.path;
    const script = 'id -u; pwd; echo "$COLOUR"; env | wc -l; touch made';
    const output = await directory.run('/bin/sh', ['-c', script], {
      signal: never,
      environment: { COLOUR: 'green' },
    });
    const [uid, where, colour, count] = output.trim().split('\n');
    expect(Number(uid)).toBe(findAccount().uid);
    expect(uid).not.toBe('0');
    expect([where, colour]).toEqual([path, 'green']);
    // PATH, COLOUR, and what the shell adds by itself.
    expect(Number(count)).toBeLessThanOrEqual(5);
    expect(existsSync(`${path}/made`)).toBe(true);
  }
  expect(existsSync(path)).toBe(false);
});

test('a program that fails says what it has printed, and one that is not there is no bug', async () => {
  await using directory = await nodeProcesses.openDirectory();
  await expect(
    directory.run('/bin/sh', ['-c', 'echo too bad >&2; exit 3'], { signal: never }),
  ).rejects.toMatchObject({
    kind: 'unavailable',
    code: 'PROGRAM_FAILED',
    reason: expect.stringMatching(/3.*too bad/),
  });
  await expect(directory.run('/nowhere/initdb', [], { signal: never })).rejects.toMatchObject({
    code: 'PROGRAM_FAILED',
  });
});

test('who gives up kills the program, with what it has started', async () => {
  await using directory = await nodeProcesses.openDirectory();
  const ending = new AbortController();
  const running = directory.run('/bin/sh', ['-c', 'sleep 600 & echo $! > pid; wait'], {
    signal: ending.signal,
  });
  await expect.poll(() => existsSync(`${directory.path}/pid`)).toBe(true);
  ending.abort();
  // It ends only when nobody has its output open any more: the child is gone, too.
  await expect(running).rejects.toMatchObject({ kind: 'cancelled' });
  await expect(directory.run('/bin/true', [], { signal: ending.signal })).rejects.toMatchObject({
    kind: 'cancelled',
  });
});
