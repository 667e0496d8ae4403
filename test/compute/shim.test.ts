import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, readFileSync } from 'node:fs';
import { chmod, open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { BadRequestError } from '../../src/base/errors.ts';
import { forkOf, hasCompiler, ShimWorld, shimPath, type Worker } from '../shim/shim-world.ts';

const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC } = constants;
const EIO = -5;
const ENOENT = -2;
const EEXIST = -17;

describe.runIf(hasCompiler)('pages on demand', () => {
  test('files appear when they are looked for, and blocks when they are read', async () => {
    await using world = await ShimWorld.open();
    await world.lazy.addForks([forkOf(100, 10), forkOf(100, 1, 2), forkOf(101, 0), forkOf(102, 131_073)]);
    await world.lazy.finishForks();
    const worker = world.start();
    expect(await worker.number('access base/5/100')).toBe(0);
    expect(await worker.ask('fork list base/5')).toBe('100 100_vm 101 102 102.1');
    expect(await readdir(join(world.data, 'base/5'))).toEqual([]);
    expect(await worker.number('stat base/5/100')).toBe(81_920);
    expect(await worker.number(`stat ${world.data}/base/5/102.1`)).toBe(8192);
    expect(await worker.number('stat ./base//5/../5/101')).toBe(0);
    expect(await worker.number('stat base/5/100_fsm')).toBe(ENOENT);
    expect(await worker.number('stat base/5/103')).toBe(ENOENT);
    expect((await readdir(join(world.data, 'base/5'))).sort()).toEqual(['100', '101', '102.1']);
    expect((await worker.ask('fork list base/5')).split(' ').sort()).toEqual([
      ...['100', '100_vm', '101', '102', '102.1'],
    ]);
    const file = await worker.number(`open base/5/100 ${O_RDONLY}`);
    expect(await worker.ask(`page ${file} 100 3`)).toBe('version 0');
    expect(await worker.ask(`page ${file} 100 9`)).toBe('version 0');
    expect(await worker.ask(`page ${file} 100 10`)).toBe('short 0');
    expect(world.pages.reads).toEqual([
      { relation: 100, fork: 0, block: 3, count: 1 },
      { relation: 100, fork: 0, block: 9, count: 1 },
    ]);
    const second = await worker.number(`open base/5/102.1 ${O_RDWR}`);
    expect(await worker.ask(`page ${second} 102 0`)).toBe('version -2');
    expect(world.pages.reads.at(-1)).toEqual({ relation: 102, fork: 0, block: 131_072, count: 1 });
    expect(await worker.ask('stream base/5/100 100')).toBe('10');
    expect(world.pages.reads.length).toBeLessThanOrEqual(11);
    expect(world.failures).toEqual([]);
  });

  test('what every session reads comes many at a time', async () => {
    await using world = await ShimWorld.open();
    await world.lazy.addForks([forkOf(1259, 40), forkOf(1260, 3)]);
    const worker = world.start();
    const file = await worker.number(`open base/5/1259 ${O_RDWR}`);
    const other = await worker.number(`open base/5/1260 ${O_RDWR}`);
    expect(await worker.number(`write ${file} 1259 18 7`)).toBe(8192);
    for (const block of [21, 19, 31, 5])
      expect(await worker.ask(`page ${file} 1259 ${block}`)).toBe('version 0');
    expect(await worker.ask(`page ${file} 1259 18`)).toBe('version 7');
    expect(await worker.ask(`page ${file} 1259 39`)).toBe('version 0');
    expect(await worker.ask(`page ${other} 1260 1`)).toBe('version 0');
    expect(world.pages.reads).toEqual([
      // Not behind what was written.
      { relation: 1259, fork: 0, block: 19, count: 13 },
      { relation: 1259, fork: 0, block: 0, count: 16 },
      { relation: 1259, fork: 0, block: 32, count: 8 },
      { relation: 1260, fork: 0, block: 0, count: 3 },
    ]);
    await world.lazy.finishForks();
    expect(world.failures).toEqual([]);
  });

  test('what was written is not brought, and what was cut off does not come back', async () => {
    await using world = await ShimWorld.open();
    await world.lazy.addForks([forkOf(100, 10), forkOf(104, 4)]);
    await world.lazy.finishForks();
    const worker = world.start();
    const file = await worker.number(`open base/5/100 ${O_RDWR}`);
    expect(await worker.number(`write ${file} 100 2 7`)).toBe(8192);
    expect(await worker.ask(`page ${file} 100 2`)).toBe('version 7');
    expect(world.pages.reads).toEqual([]);
    // A part of a block keeps the rest.
    expect(await worker.number(`part ${file} ${4 * 8192 + 16}`)).toBe(4);
    expect(await worker.number(`word ${file} ${4 * 8192 + 16}`)).toBe(0);
    expect(await worker.number(`word ${file} ${4 * 8192}`)).toBe(100);
    expect(await worker.number(`word ${file} ${4 * 8192 + 20}`)).not.toBe(0);
    expect(await worker.number(`ftruncate ${file} ${6 * 8192 + 4}`)).toBe(0);
    expect(await worker.number(`ftruncate ${file} ${9 * 8192}`)).toBe(0);
    expect(await worker.ask(`page ${file} 100 5`)).toBe('version 0');
    expect(await worker.number(`word ${file} ${6 * 8192}`)).toBe(100);
    expect(await worker.number(`word ${file} ${6 * 8192 + 4}`)).toBe(0);
    for (const block of [7, 8]) expect(await worker.ask(`page ${file} 100 ${block}`)).toBe('version -1');
    expect(await worker.number(`write ${file} 100 20 1`)).toBe(8192);
    expect(await worker.number(`size ${file}`)).toBe(21 * 8192);
    expect(await worker.number('truncate base/5/104 0')).toBe(0);
    expect(await worker.number('stat base/5/104')).toBe(0);
    const empty = await worker.number(`open base/5/104 ${O_RDWR}`);
    expect(await worker.number(`ftruncate ${empty} 8192`)).toBe(0);
    expect(await worker.ask(`page ${empty} 104 0`)).toBe('version -1');
  });

  test('files go with their names, whether they were made or not', async () => {
    await using world = await ShimWorld.open();
    await world.lazy.addForks([100, 101, 102, 103].map((relation) => forkOf(relation, 10)));
    await world.lazy.finishForks();
    const worker = world.start();
    expect(await worker.number(`open base/5/100 ${O_RDWR | O_CREAT | O_EXCL}`)).toBe(EEXIST);
    expect(await worker.number('unlink base/5/101')).toBe(0);
    expect(await worker.number('access base/5/101')).toBe(ENOENT);
    expect(await worker.number('unlink base/5/101')).toBe(ENOENT);
    expect(await worker.ask('fork list base/5')).toBe('102 103 100');
    // The process that the agent has started does not wait for the list, and sees the file system.
    expect(await worker.ask('list base/5')).toBe('100');
    const file = await worker.number(`open base/5/102 ${O_RDWR}`);
    expect(await worker.number('unlink base/5/102')).toBe(0);
    expect(await worker.ask(`page ${file} 102 1`)).toBe('version -1');
    const again = await worker.number(`open base/5/102 ${O_RDWR | O_CREAT | O_EXCL}`);
    expect(await worker.number(`ftruncate ${again} 8192`)).toBe(0);
    expect(await worker.ask(`page ${again} 102 0`)).toBe('version -1');
    const cut = await worker.number(`open base/5/103 ${O_RDWR | O_TRUNC}`);
    expect(await worker.number(`size ${cut}`)).toBe(0);
    expect(await worker.number('rename base/5/100 base/5/200')).toBe(-1);
    expect(await worker.number(`copy ${file} ${again}`)).toBe(-38);
    expect(world.pages.reads).toEqual([]);
  });

  test('who looks for a file waits for the list, and goes on where it cannot come any more', async () => {
    await using world = await ShimWorld.open();
    const worker = world.start();
    // Free space maps and what is no relation are never in it.
    expect(await worker.number('stat base/5/100_fsm')).toBe(ENOENT);
    expect(await worker.number('stat base/5/PG_VERSION')).toBe(ENOENT);
    const waiting = worker.number('stat base/5/101');
    await world.lazy.addForks([forkOf(100, 1)]);
    await world.lazy.addForks([forkOf(101, 2), forkOf(102, 3)]);
    expect(await waiting).toBe(2 * 8192);
    expect(await worker.number('stat base/5/99')).toBe(ENOENT);
    // A connection looks for the directory of its database, which it need not wait for.
    expect(await worker.number('fork access base/5')).toBe(0);
    const listing = worker.ask('fork list base/5');
    const absent = world.start().number('stat base/5/103');
    await world.lazy.finishForks();
    expect((await listing).split(' ').sort()).toEqual(['100', '101', '102']);
    expect(await absent).toBe(ENOENT);
  });

  test('segments of SLRUs are brought whole', async () => {
    await using world = await ShimWorld.open();
    const path = 'pg_xact/000A';
    await writeFile(join(world.data, path), new Uint8Array(5 * 8192));
    await chmod(join(world.data, path), 0o666);
    await world.lazy.addSlruSegment({ path, sizeBytes: 5 * 8192, slru: 'clog', segment: 10 });
    await world.lazy.finishForks();
    const worker = world.start();
    expect(await worker.number(`stat ${path}`)).toBe(5 * 8192);
    const file = await worker.number(`open ${path} ${O_RDWR}`);
    expect(await worker.number(`write ${file} 10 2 4`)).toBe(8192);
    expect(await worker.ask(`page ${file} 10 0`)).toBe('version 0');
    world.pages.failure = new BadRequestError('SOME', 'storage is away');
    expect(await worker.ask(`page ${file} 10 1`)).toBe('version 0');
    expect(await worker.ask(`page ${file} 10 2`)).toBe('version 4');
    expect(await worker.ask(`page ${file} 10 3`)).toBe(String(EIO));
    world.pages.failure = undefined;
    expect(await worker.ask(`page ${file} 10 4`)).toBe('version 0');
    expect(await worker.ask('fork list pg_xact')).toBe('000A');
    expect(await worker.number(`unlink ${path}`)).toBe(0);
    expect(await worker.number(`access ${path}`)).toBe(ENOENT);
  });

  test('an agent that fails or is gone is an I/O error, never zeros', async () => {
    await using world = await ShimWorld.open();
    await world.lazy.addForks([forkOf(100, 10), forkOf(101, 10)]);
    await world.lazy.finishForks();
    const worker = world.start();
    const file = await worker.number(`open base/5/100 ${O_RDWR}`);
    world.pages.failure = new BadRequestError('SOME', 'storage is away');
    expect(await worker.ask(`page ${file} 100 1`)).toBe(String(EIO));
    expect(world.failures).toEqual([world.pages.failure]);
    world.pages.failure = undefined;
    expect(await worker.ask(`page ${file} 100 1`)).toBe('version 0');
    await world.lazy.close();
    expect(await worker.ask(`page ${file} 100 1`)).toBe('version 0');
    expect(await worker.ask(`page ${file} 100 2`)).toBe(String(EIO));
    expect(await worker.number(`write ${file} 100 3 1`)).toBe(8192);
    expect(await worker.ask(`page ${file} 100 3`)).toBe('version 1');
    expect(worker.errors).toContain('the agent does not answer');
    expect(await world.start().end()).toBe(1);
  });

  test('what is damaged is an I/O error, never zeros', async () => {
    await using world = await ShimWorld.open();
    await world.lazy.addForks([forkOf(100, 10), forkOf(101, 10)]);
    await world.lazy.finishForks();
    const worker = world.start();
    const file = await worker.number(`open base/5/100 ${O_RDWR}`);
    await using shared = await open(join(world.root, 'lazy/shared'), 'r+');
    // Words of the first file's blocks, and states: see the format.
    await shared.write(Uint8Array.of(7, 0, 0, 0), 0, 4, 570_429_440 + 3 * 4);
    await shared.write(Uint8Array.of(9, 0, 0, 0), 0, 4, 33_558_528 + 32);
    expect(await worker.ask(`page ${file} 100 2`)).toBe('version 0');
    expect(await worker.ask(`page ${file} 100 3`)).toBe(String(EIO));
    expect(await worker.ask(`write ${file} 100 3 1`)).toBe(String(EIO));
    for (const line of [`open base/5/101 ${O_RDWR}`, 'stat base/5/101', 'unlink base/5/101'])
      expect(await worker.number(line)).toBe(EIO);
    // Without the list, whoever has not mapped it asks the agent, and lists nothing.
    const second = world.start();
    await rm(join(world.root, 'lazy/files'));
    expect(await second.number('stat base/5/100')).toBe(81_920);
    expect(await second.number('fork list base/5')).toBe(EIO);
  });

  test('no server starts without the shim, nor with one that is of no use', async () => {
    await using world = await ShimWorld.open();
    await world.lazy.finishForks();
    expect(await stat(join(world.data, 'global/pg_control')).catch((error) => error.code)).toBe('ENOENT');
    const without = world.start({});
    expect(await without.number('stat global/pg_control')).toBe(ENOENT);
    const worker = world.start();
    expect(await worker.number('stat global/pg_control')).toBe(7);
    expect(await worker.number(`open global/pg_control ${O_RDWR}`)).toBeGreaterThan(2);
    expect(world.lazy.serverPid).toBe(worker.child.pid);
    const { environment } = world.lazy;
    for (const wrong of [
      { VARVE_SHIM_DIRECTORY: `${world.root}/other` },
      { VARVE_SHIM_DIRECTORY: 'relative' },
      { VARVE_SHIM_DATA: world.root },
    ]) {
      const failing = world.start({ ...environment, ...wrong });
      expect(await failing.end()).toBe(1);
      expect(failing.errors).toContain('varve shim: ');
    }
  });

  test('forks talk to the agent by themselves, and die with their parent', async () => {
    await using world = await ShimWorld.open();
    await world.lazy.addForks([forkOf(100, 110)]);
    await world.lazy.finishForks();
    const worker = world.start();
    const file = await worker.number(`open base/5/100 ${O_RDWR}`);
    for (let block = 0; block < 100; block += 7) {
      expect(await worker.ask(`page ${file} 100 ${block}`)).toBe('version 0');
      expect(await worker.ask(`fork page ${file} 100 ${block + 2}`)).toBe('version 0');
      expect(await worker.ask(`fork fork page ${file} 100 ${block + 4}`)).toBe('version 0');
    }
  });
});

describe.runIf(hasCompiler)('the server and its agent', () => {
  test('who writes WAL waits while the agent wants it', async () => {
    await using world = await ShimWorld.open();
    await world.lazy.finishForks();
    const worker = world.start();
    const file = await worker.number(`open pg_wal/one ${O_RDWR | O_CREAT}`);
    const other = await worker.number(`open pg_xact/one ${O_RDWR | O_CREAT}`);
    expect(await worker.number(`write ${file} 1 0 1`)).toBe(8192);
    world.lazy.holdWal(true);
    expect(await worker.number(`write ${other} 1 0 1`)).toBe(8192);
    let isWritten = false;
    const writing = worker.number(`write ${file} 1 1 1`).then((length) => {
      isWritten = true;
      return length;
    });
    // It would take microseconds.
    await delay(50);
    expect(isWritten).toBe(false);
    world.lazy.holdWal(false);
    expect(await writing).toBe(8192);
  });

  test('WAL that is slowed is written all the same, and none while it is held too', async () => {
    await using world = await ShimWorld.open();
    await world.lazy.finishForks();
    const worker = world.start();
    const file = await worker.number(`open pg_wal/one ${O_RDWR | O_CREAT}`);
    world.lazy.slowWal(true);
    const began = performance.now();
    for (let block = 0; block < 5; block++)
      expect(await worker.number(`write ${file} 1 ${block} 1`)).toBe(8192);
    expect(performance.now() - began).toBeGreaterThan(50);
    world.lazy.holdWal(true);
    const writing = worker.number(`write ${file} 1 5 1`);
    expect(await Promise.race([writing, delay(100).then(() => 'held')])).toBe('held');
    world.lazy.holdWal(false);
    expect(await writing).toBe(8192);
    world.lazy.slowWal(false);
  });

  test('all processes of the server die with the one that has started them', async () => {
    await using world = await ShimWorld.open();
    await world.lazy.finishForks();
    const worker = world.start();
    const children = (await worker.ask('children 3')).split(' ').map(Number);
    expect(children).toHaveLength(3);
    worker.child.kill('SIGKILL');
    await untilGone([worker.child.pid as number, ...children]);
  });

  test('the server dies with its agent', async () => {
    await using world = await ShimWorld.open();
    const { root, data, program } = world;
    const host = fileURLToPath(new URL('../shim/agent-host.ts', import.meta.url));
    const agent = spawn(process.execPath, [host, join(root, 'second'), data, await shimPath(), program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const [line] = (await once(createInterface({ input: agent.stdout }), 'line')) as [string];
      const processes = line.trim().split(' ').map(Number);
      expect(processes).toHaveLength(4);
      expect(processes.every(isThere)).toBe(true);
      agent.kill('SIGKILL');
      await untilGone(processes);
    } finally {
      agent.kill('SIGKILL');
    }
  });
});

/** A zombie does nothing any more. */
function isThere(pid: number): boolean {
  try {
    return !/\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** A test that waits in vain is ended by its time limit. */
async function untilGone(processes: readonly number[]): Promise<void> {
  while (processes.some(isThere)) await delay(2);
}

describe.runIf(hasCompiler)('under stress', () => {
  const OTHER = forkOf(101, 1);

  /** One whose forks inherit a connection to the agent. */
  async function startConnected(world: ShimWorld): Promise<Worker> {
    const worker = world.start();
    const file = await worker.number(`open base/5/101 ${O_RDWR}`);
    expect(await worker.ask(`page ${file} 101 0`)).toBe('version 0');
    return worker;
  }

  const parse = (line: string): Record<string, number> =>
    Object.fromEntries(
      [...line.matchAll(/(\w+) (\d+)/g)].map(([, name, value]) => [name as string, Number(value)]),
    );

  test.each([1, 2, 3])('written blocks are never brought, seed %i', { timeout: 20_000 }, async (seed) => {
    await using world = await ShimWorld.open();
    let turn = seed;
    world.pages.delayMs = () => (turn = (turn * 7919 + 1) % 10_007) % 4;
    await world.lazy.addForks([forkOf(100, 800), OTHER]);
    await world.lazy.finishForks();
    const worker = await startConnected(world);
    const result = parse(await worker.ask(`stress base/5/100 100 800 6 600 ${seed}`));
    expect(worker.errors).toBe('');
    expect(result['faults']).toBe(0);
    expect(result['writes']).toBeGreaterThan(1000);
    expect(result['reads']).toBeGreaterThan(1000);
  });

  test.each([4, 5, 6])(
    'what killed processes own is taken over, seed %i',
    { timeout: 20_000 },
    async (seed) => {
      await using world = await ShimWorld.open();
      let turn = seed;
      world.pages.delayMs = () => (turn = (turn * 7919 + 1) % 10_007) % 5;
      await world.lazy.addForks([forkOf(100, 2000), OTHER]);
      await world.lazy.finishForks();
      const worker = await startConnected(world);
      const result = parse(await worker.ask(`kills base/5/100 100 2000 6 1000 ${seed}`));
      expect(worker.errors).toBe('');
      expect(result['faults']).toBe(0);
      expect(result['kills']).toBeGreaterThan(10);
    },
  );

  test.each([10, 11])(
    'files are made and removed once, whoever is killed, seed %i',
    { timeout: 20_000 },
    async (seed) => {
      await using world = await ShimWorld.open();
      const files = Array.from({ length: 3000 }, (_, index) =>
        forkOf(1000 + index, ((1000 + index) % 7) + 1),
      );
      await world.lazy.addForks([OTHER, ...files]);
      await world.lazy.finishForks();
      const worker = await startConnected(world);
      const result = parse(await worker.ask(`files base/5 1000 3000 6 3000 ${seed}`));
      expect(worker.errors).toBe('');
      expect(result['faults']).toBe(0);
      expect(result['kills']).toBeGreaterThan(10);
      expect(result['cuts']).toBeGreaterThan(100);
    },
  );

  test.each([7, 8, 9])('what is cut off never comes back, seed %i', { timeout: 20_000 }, async (seed) => {
    await using world = await ShimWorld.open();
    let turn = seed;
    world.pages.delayMs = () => (turn = (turn * 7919 + 1) % 10_007) % 3;
    await world.lazy.addForks([forkOf(100, 400), OTHER]);
    await world.lazy.finishForks();
    const worker = await startConnected(world);
    const result = parse(await worker.ask(`cuts base/5/100 100 400 5 1500 ${seed}`));
    expect(worker.errors).toBe('');
    expect(result['faults']).toBe(0);
    expect(result['cuts']).toBeGreaterThan(50);
  });
});
