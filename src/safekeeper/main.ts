import { realpath } from 'node:fs/promises';
import { nodeClock } from '../io/node/clock.ts';
import { nodeFiles } from '../io/node/files.ts';
import { nodeHttp } from '../io/node/http.ts';
import { nodeRandom } from '../io/node/random.ts';
import { runUntilStopped } from '../io/node/run-until-stopped.ts';
import { nodeSockets } from '../io/node/sockets.ts';
import { openS3Objects } from '../io/s3/open.ts';
import { createJsonLogger, type JsonLogOptions, type Logger } from '../observe/log.ts';
import { type SafekeeperOptions, SafekeeperService } from './service.ts';

export type { SafekeeperOptions, SafekeeperService };

/** Starts a safekeeper in this process, on the machine's disk, network and clock. `close` ends it. */
export async function startSafekeeper(
  options: SafekeeperOptions,
  logger: Logger,
): Promise<SafekeeperService> {
  await nodeFiles.makeDirectory(options.directory);
  const directory = await realpath(options.directory);
  return SafekeeperService.start(
    { ...options, directory },
    {
      files: nodeFiles,
      clock: nodeClock,
      random: nodeRandom,
      sockets: nodeSockets((error) => logger.warn('a connection could not be accepted', { error })),
      http: nodeHttp((error) => logger.error('HTTP: something failed that no request is told of', { error })),
      openS3: openS3Objects,
      logger,
    },
  );
}

/**
 * Runs a safekeeper as this process, until SIGTERM or SIGINT: the first one closes it in order, a second one ends the
 * process at once. Logs to standard error.
 *
 * @param announce told when it serves
 * @throws as startSafekeeper, runUntilStopped
 */
export async function runSafekeeper(
  options: SafekeeperOptions,
  logLevel: JsonLogOptions['level'],
  announce: (service: SafekeeperService) => Promise<void>,
): Promise<void> {
  const logger = createJsonLogger({
    level: logLevel,
    clock: nodeClock,
    destination: { write: (line) => void process.stderr.write(line) },
  }).child({ safekeeperId: options.nodeId });
  const start = async (): Promise<SafekeeperService> => {
    const service = await startSafekeeper(options, logger);
    const { pg, http } = service.addresses;
    logger.info('the safekeeper serves', { pg, http, directory: service.safekeeper.configuration.directory });
    await announce(service);
    return service;
  };
  await runUntilStopped(start, (signal) => logger.info('the safekeeper closes', { signal }));
  logger.info('the safekeeper has closed');
}
