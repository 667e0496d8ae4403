import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { describeClock } from '../../../test/conformance/clock.ts';
import { runForReal } from '../../../test/conformance/world.ts';
import { run } from '../../../test/support/cluster-template.ts';
import { nodeClock } from './clock.ts';

describeClock('Node.js', async () => ({
  clock: nodeClock,
  run: runForReal,
  [Symbol.asyncDispose]: async () => undefined,
}));

test('a timer keeps no process alive', async () => {
  const module = JSON.stringify(fileURLToPath(new URL('clock.ts', import.meta.url)));
  // Waits that the process must not sit out: the test would end by its time limit.
  const program = `
    import { nodeClock } from ${module};
    nodeClock.setTimer(3_600_000, () => console.log('late'));
    nodeClock.setTimer(2 ** 40, () => console.log('later'));
    console.log('end');`;
  const output = await run(process.execPath, ['--input-type=module', '--eval', program]);
  expect(output).toBe('end\n');
});
