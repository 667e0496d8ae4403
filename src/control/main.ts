import type { MakeEndpointManager } from '../contracts/endpoint-manager.ts';
import { nodeClock } from '../io/node/clock.ts';
import { nodeFiles } from '../io/node/files.ts';
import { nodeHttp } from '../io/node/http.ts';
import { nodeRandom } from '../io/node/random.ts';
import { runUntilStopped } from '../io/node/run-until-stopped.ts';
import { nodeSockets } from '../io/node/sockets.ts';
import { createJsonLogger, type JsonLogOptions, type Logger } from '../observe/log.ts';
import { type OutgoingPaths, readText } from '../service/credentials.ts';
import { readHasProjects } from './database/has-projects.ts';
import { type DatabaseLocation, openPostgresDoor } from './database/postgres-door.ts';
import { type ControlOptions, ControlService } from './service.ts';
import { electionsBy } from './storage/elect.ts';
import type { StorageAccess } from './storage/storage-nodes.ts';

export type { ControlOptions, ControlService, DatabaseLocation };

/** What the database is, beside what the service is. */
export interface ControlArguments extends ControlOptions {
  readonly database: DatabaseLocation;
}

/**
 * Starts a control plane in this process, on the machine's network and clock. `close` ends it.
 * @param makeEndpointManager who runs computes. Without it none are run from here.
 * @throws as ControlService.start
 */
export async function startControl(
  { database, ...options }: ControlArguments,
  logger: Logger,
  makeEndpointManager?: MakeEndpointManager,
): Promise<ControlService> {
  const { safekeeperToken, authorities } = options.storage ?? {};
  const sockets = nodeSockets((error) => {
    // Nobody is listened to by these.
    throw error;
  });
  const doors = { sockets, clock: nodeClock, random: nodeRandom, logger };
  return await ControlService.start(options, {
    ...doors,
    database: openPostgresDoor(database, logger),
    http: nodeHttp((error) => logger.error('HTTP: something failed that no request is told of', { error })),
    files: nodeFiles,
    elect: electionsBy(doors, {
      ...(safekeeperToken === undefined ? {} : { token: safekeeperToken }),
      ...(authorities === undefined ? {} : { tls: { authorities } }),
    }),
    ...(makeEndpointManager === undefined ? {} : { makeEndpointManager }),
  });
}

/**
 * Whether a database has projects of a control plane already.
 * @throws VarveError ‘unavailable’ / CONTROL_DATABASE_UNAVAILABLE
 */
export async function hasProjects(database: DatabaseLocation, logger: Logger): Promise<boolean> {
  return await readHasProjects(openPostgresDoor(database, logger));
}

/** Files of what is shown to storage. */
export interface StorageCredentialPaths {
  readonly pageserverTokenPath?: string;
  readonly safekeeperTokenPath?: string;
  readonly authoritiesPath?: string;
}

/** Tokens are read anew each time: they are replaced before they expire. */
async function loadStorageAccess(
  paths: StorageCredentialPaths,
): Promise<Omit<StorageAccess, 'http' | 'clock'>> {
  const { pageserverTokenPath, safekeeperTokenPath, authoritiesPath } = paths;
  const tokenFrom = (path: OutgoingPaths['tokenPath']): (() => Promise<string>) | undefined =>
    path === undefined ? undefined : async () => (await readText(nodeFiles, path)).trim();
  const pageserverToken = tokenFrom(pageserverTokenPath);
  const safekeeperToken = tokenFrom(safekeeperTokenPath);
  return {
    ...(pageserverToken === undefined ? {} : { pageserverToken }),
    ...(safekeeperToken === undefined ? {} : { safekeeperToken }),
    ...(authoritiesPath === undefined ? {} : { authorities: await readText(nodeFiles, authoritiesPath) }),
  };
}

/**
 * Runs a control plane as this process, until SIGTERM or SIGINT, or until its database is lost. Logs to standard error.
 * @param announce told when it serves
 * @throws as startControl, runUntilStopped
 */
export async function runControl(
  given: Omit<ControlArguments, 'storage'>,
  credentials: StorageCredentialPaths,
  logLevel: JsonLogOptions['level'],
  announce: (service: ControlService) => Promise<void>,
): Promise<void> {
  const destination = { write: (line: string): void => void process.stderr.write(line) };
  const logger = createJsonLogger({ level: logLevel, clock: nodeClock, destination });
  const start = async (): Promise<ControlService> => {
    const service = await startControl({ ...given, storage: await loadStorageAccess(credentials) }, logger);
    // Whoever watches over this process starts it anew. Another one may have the database by now.
    void service.lost.then(() => process.kill(process.pid, 'SIGTERM'));
    logger.info('the control plane serves', { http: service.address });
    await announce(service);
    return service;
  };
  await runUntilStopped(start, (signal) => logger.info('the control plane closes', { signal }));
  logger.info('the control plane has closed');
}
