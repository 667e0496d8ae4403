// A process that is an agent: opens a lazy directory, starts a worker under it, prints the worker's number, and waits to be
// killed. Arguments: the lazy directory, the data directory, the shim, the worker.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { LazyDirectory } from '../../src/compute/lazy/lazy-directory.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { nodeServers } from '../../src/io/node/servers.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { findAccount, spawnIdentity } from '../../src/io/node/unprivileged-account.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { SIGNAL, TestPages } from './shim-world.ts';

const [directory = '', dataDirectory = '', shim = '', program = ''] = process.argv.slice(2);
const onFailed = (error: Error): void => console.error(error.message);
const lazy = await LazyDirectory.open(
  { directory, dataDirectory, version: POSTGRES_17, shim, pages: new TestPages(), onFailed },
  { files: nodeFiles, servers: nodeServers, sockets: nodeSockets(onFailed) },
  SIGNAL,
);
await lazy.finishForks();
const child = spawn(program, [], {
  ...spawnIdentity(findAccount()),
  cwd: dataDirectory,
  env: { ...process.env, ...lazy.environment },
  stdio: ['pipe', 'pipe', 'inherit'],
});
child.stdin.write('children 3\n');
createInterface({ input: child.stdout }).once('line', (line) => console.log(`${child.pid} ${line}`));
