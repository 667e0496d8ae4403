import { VarveError } from '../base/errors.ts';
import type { ProgramIdentity } from '../io/servers.ts';
import type { ComputeDoors } from './options.ts';
import { readText } from './postgres-process.ts';
import { parsePostmasterFile } from './postmaster-file.ts';

/** Holds the identity of the server that runs, for a later life of the agent. */
const SERVER_FILE = 'server.json';

/** Where a compute has its data directory, its socket and its log. Nothing in it is worth anything to a later life. */
export class ComputeDirectory {
  readonly path: string;
  readonly dataPath: string;
  readonly socketPath: string;
  /** For what pages on demand need. */
  readonly lazyPath: string;
  /** For free space maps that are on their way into the data directory. */
  readonly mapsPath: string;
  readonly outputPath: string;
  /** Sessions that the agent itself has had with its server. */
  agentSessions = 0;
  readonly #doors: Pick<ComputeDoors, 'files' | 'servers' | 'logger'>;

  constructor(path: string, doors: Pick<ComputeDoors, 'files' | 'servers' | 'logger'>) {
    this.path = path;
    this.dataPath = `${path}/data`;
    this.socketPath = `${path}/socket`;
    this.lazyPath = `${path}/lazy`;
    this.mapsPath = `${path}/maps`;
    this.outputPath = `${path}/postgres.log`;
    this.#doors = doors;
  }

  /** Ends what an earlier life has left running, and makes everything anew. @throws as Servers.makeDirectory */
  async prepare(): Promise<void> {
    const { servers } = this.#doors;
    await servers.makeParent(this.path);
    await this.clear();
    await servers.makeDirectory(this.socketPath);
    await servers.makeDirectory(this.dataPath);
  }

  /** A server runs in it from now on. */
  async remember(identity: ProgramIdentity): Promise<void> {
    const { files } = this.#doors;
    const bytes = new TextEncoder().encode(JSON.stringify(identity));
    await using file = await files.openForUpdate(`${this.path}/${SERVER_FILE}`);
    await file.resize(0);
    file.writeNow(bytes, 0, bytes.length, 0);
  }

  /** Removes all that a server has left behind that has ended, or that nobody has ended. */
  async clear(): Promise<void> {
    const { files, servers, logger } = this.#doors;
    const identity = parseIdentity(await readText(files, `${this.path}/${SERVER_FILE}`));
    if (identity !== undefined) await servers.killLeftOver(identity);
    const postmaster = parsePostmasterFile(await readText(files, `${this.dataPath}/postmaster.pid`));
    if (postmaster?.sharedMemoryId !== undefined && postmaster.pid === identity?.pid) {
      // Whoever was killed could not remove it, and there are few that a machine may have.
      await servers.removeSharedMemory(postmaster.sharedMemoryId);
      logger.debug('The shared memory of a server that was killed is removed', {
        id: postmaster.sharedMemoryId,
      });
    }
    await files.removeDirectory(this.dataPath);
    await files.removeDirectory(this.socketPath);
    await files.removeDirectory(this.lazyPath);
    await files.removeDirectory(this.mapsPath);
    for (const name of [SERVER_FILE, 'postgres.log', 'postgres.log.1'])
      await removeIfThere(files, `${this.path}/${name}`);
  }
}

function parseIdentity(text: string): ProgramIdentity | undefined {
  try {
    const { pid, startTime } = JSON.parse(text) as Partial<ProgramIdentity>;
    if (Number.isSafeInteger(pid) && typeof startTime === 'string') return { pid: pid as number, startTime };
  } catch (error) {
    // Half of it was written when the machine went down, or there is none.
    if (!(error instanceof SyntaxError)) throw error;
  }
  return undefined;
}

async function removeIfThere(files: ComputeDoors['files'], path: string): Promise<void> {
  try {
    await files.remove(path);
  } catch (error) {
    if (!(error instanceof VarveError) || error.code !== 'FILE_NOT_FOUND') throw error;
  }
}
