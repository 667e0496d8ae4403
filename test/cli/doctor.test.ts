import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { VarveError } from '../../src/base/errors.ts';
import type { Finding } from '../../src/doctor/finding.ts';
import { judgeClock, judgeMemory, judgeOpenFiles } from '../../src/doctor/machine.ts';
import { type AskSystem, type DoctorOptions, examine, type FindShim } from '../../src/doctor/main.ts';
import { judgeClientsPort, judgeServicePort, judgeSystem } from '../../src/doctor/network.ts';
import { judgeDirectory, judgeFileSystem, judgeSpace } from '../../src/doctor/place.ts';
import {
  judgeAccount,
  judgeNode,
  judgePlatform,
  judgePrograms,
  judgeShim,
} from '../../src/doctor/programs.ts';
import { readProcess } from '../../src/io/node/process-table.ts';

const BIN = fileURLToPath(new URL('../../bin/varve', import.meta.url));
const MIB = 1024 * 1024;
const directory = realpathSync(mkdtempSync(join(tmpdir(), 'varve-doctor-')));
afterAll(() => rmSync(directory, { recursive: true }));

const options: DoctorOptions = {
  directory: join(directory, 'system'),
  postgresMajor: 17,
  binDirectory: undefined,
  host: '127.0.0.1',
  port: 0,
  isPortGiven: true,
  apiPort: 0,
};
const noShim: FindShim = async () => undefined;
const notAsked: AskSystem = async () => {
  throw new Error('nothing runs here that could be asked');
};

/** What a whole look finds, of one check. */
async function find(check: string, given: Partial<DoctorOptions>, findShim = noShim, ask = notAsked) {
  const findings = await examine({ ...options, ...given }, findShim, ask);
  const found = findings.find((each) => each.check === check);
  if (found === undefined) throw new Error(`${check} was not looked at`);
  return found;
}

const place = {
  directory: '/a/b',
  existing: '/a',
  isDirectory: true,
  isWritable: true,
  isOurs: true,
  isFitForServers: true,
  temporary: ['/tmp'],
};
const disk = { type: 0xef53, fault: undefined, isSparse: true, punchesHoles: true, syncMs: 1 };
const clock = { wallMs: Date.UTC(2026, 5, 1), jumpMs: 3, fileAheadMs: -3 };
const port = { host: '127.0.0.1', port: 5432, state: { kind: 'free' } } as const;
const taken = { kind: 'taken', owner: 'postgres (process 7)', isOurs: false } as const;
const refused = { kind: 'refused', reason: 'permission denied' } as const;
const nameless = { uid: 4711, isOther: false, hasName: false };
const programs = { wantedMajor: 17, isDirectoryGiven: false };
const bin = { binDirectory: '/bin', major: 17, missing: [] };
const running = { kind: 'answers', pid: 7, away: [], failed: [] } as const;

describe('each check finds what it is for', () => {
  const cases: readonly (readonly [string, string, Finding])[] = [
    ['node', 'ok', judgeNode('v24.1.0')],
    ['an old node', 'fail', judgeNode('v20.11.0')],
    ['platform', 'ok', judgePlatform('linux-x64')],
    ['another platform', 'warn', judgePlatform('darwin-arm64')],
    ['programs', 'ok', judgePrograms({ ...programs, found: bin })],
    ['no programs', 'fail', judgePrograms({ ...programs, found: { error: 'ENOENT' } })],
    ['another major', 'fail', judgePrograms({ ...programs, found: { ...bin, major: 16 } })],
    ['no initdb', 'fail', judgePrograms({ ...programs, found: { ...bin, missing: ['initdb'] } })],
    ['shim', 'ok', judgeShim({ kind: 'prebuilt', hasCompiler: false, complaint: '' })],
    ['a built shim', 'ok', judgeShim({ kind: 'built', hasCompiler: true, complaint: '' })],
    ['no shim', 'warn', judgeShim({ kind: undefined, hasCompiler: false, complaint: '' })],
    ['a shim of another libc', 'fail', judgeShim({ kind: 'prebuilt', hasCompiler: false, complaint: 'no' })],
    [
      'root',
      'ok',
      judgeAccount({ uid: 0, server: { uid: 65534, isOther: true, hasName: true }, namespaceFault: 'no' }),
    ],
    [
      'nobody but root',
      'fail',
      judgeAccount({ uid: 0, server: { error: 'only root' }, namespaceFault: undefined }),
    ],
    ['no name', 'ok', judgeAccount({ uid: 4711, server: nameless, namespaceFault: undefined })],
    ['no name, no namespace', 'fail', judgeAccount({ uid: 4711, server: nameless, namespaceFault: 'EPERM' })],
    ['directory', 'ok', judgeDirectory(place)],
    ['a file in its place', 'fail', judgeDirectory({ ...place, isDirectory: false })],
    ['read only', 'fail', judgeDirectory({ ...place, isWritable: false })],
    ["somebody else's", 'fail', judgeDirectory({ ...place, isOurs: false })],
    ['closed to servers', 'ok', judgeDirectory({ ...place, isFitForServers: false })],
    ['all closed to servers', 'fail', judgeDirectory({ ...place, isFitForServers: false, temporary: [] })],
    ['space', 'ok', judgeSpace({ availableBytes: 9999 * MIB, names: undefined })],
    ['little space', 'warn', judgeSpace({ availableBytes: 2000 * MIB, names: 1e6 })],
    ['no space', 'fail', judgeSpace({ availableBytes: 100 * MIB, names: 1e6 })],
    ['no inodes', 'fail', judgeSpace({ availableBytes: 9999 * MIB, names: 12 })],
    ['file system', 'ok', judgeFileSystem(disk)],
    ['lost bytes', 'fail', judgeFileSystem({ ...disk, fault: 'EIO' })],
    ['memory for a disk', 'warn', judgeFileSystem({ ...disk, type: 0x01021994 })],
    ['NFS', 'warn', judgeFileSystem({ ...disk, type: 0x6969 })],
    ['no sparse files', 'warn', judgeFileSystem({ ...disk, isSparse: false })],
    ['no holes', 'warn', judgeFileSystem({ ...disk, punchesHoles: false })],
    ['holes that were not tried', 'ok', judgeFileSystem({ ...disk, punchesHoles: undefined })],
    ['slow syncs', 'warn', judgeFileSystem({ ...disk, syncMs: 80 })],
    ['memory', 'ok', judgeMemory({ availableBytes: 2000 * MIB })],
    ['little memory', 'warn', judgeMemory({ availableBytes: 700 * MIB })],
    ['no memory', 'fail', judgeMemory({ availableBytes: 100 * MIB })],
    ['open files', 'ok', judgeOpenFiles(20_000)],
    ['no limit', 'ok', judgeOpenFiles(undefined)],
    ['few open files', 'warn', judgeOpenFiles(4096)],
    ['too few open files', 'fail', judgeOpenFiles(256)],
    ['clock', 'ok', judgeClock(clock)],
    ['a clock that was never set', 'fail', judgeClock({ ...clock, wallMs: 0 })],
    ['a clock that jumps', 'warn', judgeClock({ ...clock, jumpMs: -5000 })],
    ["another clock than the file system's", 'warn', judgeClock({ ...clock, fileAheadMs: 60_000 })],
    ['port', 'ok', judgeClientsPort(port)],
    ['a port that is taken', 'fail', judgeClientsPort({ ...port, state: taken })],
    ['our own port', 'ok', judgeClientsPort({ ...port, state: { ...taken, isOurs: true } })],
    ['a port for root', 'fail', judgeClientsPort({ ...port, state: refused })],
    ['a service’s port that is taken', 'warn', judgeServicePort('the API', { ...port, state: taken })],
    ['a service’s port for root', 'fail', judgeServicePort('the API', { ...port, state: refused })],
    ['no system', 'ok', judgeSystem({ kind: 'none' }, '/a')],
    ['one that has died', 'warn', judgeSystem({ kind: 'died' }, '/a')],
    ['one that does not answer', 'fail', judgeSystem({ kind: 'silent', pid: 7, reason: 'late' }, '/a')],
    ['one that answers', 'ok', judgeSystem(running, '/a')],
    ['a node that is away', 'fail', judgeSystem({ ...running, away: ['safekeeper 1 …'] }, '/a')],
    ['a server that has failed', 'warn', judgeSystem({ ...running, failed: ['ep-1'] }, '/a')],
  ];

  test.each(cases)('%s: %s', (_, level, finding) => {
    expect(finding).toMatchObject({ level, text: expect.stringMatching(/./) });
    // What is not well comes with what to do about it.
    expect(finding.fix === undefined).toBe(level === 'ok');
  });

  test('who has the port is named', () => {
    const { text, fix } = judgeClientsPort({ ...port, state: taken });
    expect(`${text}; ${fix}`).toMatch(/postgres \(process 7\); .*--port 0/);
  });
});

describe('a look at this machine', () => {
  test('finds what is there, and leaves nothing behind', async () => {
    const findings = await examine(options, noShim, notAsked);
    const levels = Object.fromEntries(findings.map(({ check, level }) => [check, level]));
    expect(levels).toMatchObject({
      node: 'ok',
      postgres: 'ok',
      directory: 'ok',
      system: 'ok',
      account: 'ok',
    });
    expect(findings.find(({ check }) => check === 'file system')?.text).toMatch(/sync/);
    expect(readdirSync(directory)).toEqual([]);
  });

  test('programs that are missing, or of another version', async () => {
    expect(await find('postgres', { binDirectory: '/nowhere' })).toMatchObject({
      level: 'fail',
      text: expect.stringContaining('/nowhere/postgres'),
    });
    expect(await find('postgres', { postgresMajor: 16 })).toMatchObject({
      level: 'fail',
      text: expect.stringContaining('PostgreSQL 17, and 16 is wanted'),
    });
  });

  test('a shim that the loader does not take', async () => {
    const path = join(directory, 'shim.so');
    writeFileSync(path, 'this is no library');
    const found = await find('shim', {}, async () => ({ path, kind: 'prebuilt' }));
    expect(found).toMatchObject({ level: 'fail', text: expect.stringContaining('shim.so') });
    expect(await find('shim', {})).toMatchObject({ level: 'warn' });
  });

  test('a directory that is a file', async () => {
    const path = join(directory, 'file');
    writeFileSync(path, '');
    expect(await find('directory', { directory: path })).toMatchObject({ level: 'fail' });
    expect(await find('directory', { directory: join(path, 'below') })).toMatchObject({ level: 'fail' });
  });

  test('a file system on which nothing can be made', async () => {
    expect(await find('disk', { directory: '/proc/varve' })).toMatchObject({ level: 'fail' });
    // Root may write everywhere, it seems; others are told by the check of the directory.
    if (process.getuid?.() === 0) {
      expect(await find('file system', { directory: '/proc/varve' })).toMatchObject({ level: 'fail' });
    } else {
      expect(await find('directory', { directory: '/proc/varve' })).toMatchObject({ level: 'fail' });
    }
  });

  test('ports that somebody has, with who it is', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const number = (server.address() as AddressInfo).port;
    try {
      expect(await find(`port ${number}`, { port: number })).toMatchObject({
        level: 'fail',
        text: expect.stringContaining(`(process ${process.pid})`),
      });
      expect(await find(`port ${number}`, { apiPort: number })).toMatchObject({ level: 'warn' });
    } finally {
      server.close();
    }
    // TEST-NET-1: no machine has it.
    expect(await find('port 15432', { host: '192.0.2.1', port: 15_432 })).toMatchObject({ level: 'fail' });
  });

  test('systems that are damaged, have died, do not answer, or answer', async () => {
    const system = join(directory, 'other');
    mkdirSync(system);
    writeFileSync(join(system, 'system.json'), '{');
    expect(await find('system', { directory: system })).toMatchObject({
      level: 'fail',
      text: expect.stringContaining('does not describe a system'),
    });
    rmSync(join(system, 'system.json'));
    const run = (startTime: string): void => {
      const ready = { url: null, api: 'http://127.0.0.1:1', steps: [], totalMs: 1 };
      writeFileSync(join(system, 'running.json'), JSON.stringify({ pid: process.pid, startTime, ready }));
    };
    run('another process');
    expect(await find('system', { directory: system })).toMatchObject({ level: 'warn' });
    run(readProcess(process.pid)?.startTime ?? '');
    const silent: AskSystem = async () => {
      throw new VarveError('unavailable', 'CONNECTION_FAILED', 'nobody listens');
    };
    expect(await find('system', { directory: system }, noShim, silent)).toMatchObject({
      level: 'fail',
      text: expect.stringContaining('nobody listens'),
    });
    const answers: AskSystem = async () => ({ away: [], failed: [] });
    expect(await find('system', { directory: system }, noShim, answers)).toMatchObject({ level: 'ok' });
  });
});

test('the command ends with 1 where something fails, and says what to do', async () => {
  const cwd = join(directory, 'cwd');
  mkdirSync(cwd);
  const run = (...args: string[]): Promise<{ code: unknown; out: string }> =>
    new Promise((done) => {
      execFile(process.execPath, [BIN, 'doctor', '--port', '0', ...args], { cwd }, (error, out) =>
        done({ code: error?.code ?? 0, out }),
      );
    });
  const well = await run('--json', '--api-port', '0');
  const { findings } = JSON.parse(well.out) as { findings: Finding[] };
  expect(findings.filter(({ level }) => level === 'fail')).toEqual([]);
  expect(well.code).toBe(0);
  expect(findings.length).toBeGreaterThan(12);
  writeFileSync(join(cwd, 'varve.toml'), '[start]\nprot = 1\n');
  const { code, out } = await run();
  expect(code).toBe(1);
  expect(out).toMatch(/^fail configuration: .*did you mean port\?\)\n {5}→ correct it/);
}, 60_000);
