import { realpath } from 'node:fs/promises';
import { VarveError } from '../base/errors.ts';
import { nodeClock } from '../io/node/clock.ts';
import { nodeFiles } from '../io/node/files.ts';
import { nodeHttp } from '../io/node/http.ts';
import { nodeRandom } from '../io/node/random.ts';
import { nodeSockets } from '../io/node/sockets.ts';
import { openS3Objects } from '../io/s3/open.ts';
import { createJsonLogger, type JsonLogOptions, type Logger } from '../observe/log.ts';
import { type SafekeeperOptions, SafekeeperService } from './service.ts';

export type { SafekeeperOptions, SafekeeperService };

/** How long a safekeeper that is told to end may take for it. */
const CLOSE_TIMEOUT_MS = 30_000;
/** Numbers of the signals, for the status of a process that one has ended (signal(7)). */
const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;
type SignalName = keyof typeof SIGNALS;

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
 * @throws VarveError ‘unavailable’ / CLOSE_TIMEOUT where it does not come to an end in time; the process is then ended
 * all the same
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
  using stop = new StopSignals();
  using _alive = keepAlive();
  const service = await startSafekeeper(options, logger);
  const { pg, http } = service.addresses;
  logger.info('the safekeeper serves', { pg, http, directory: service.safekeeper.configuration.directory });
  await announce(service);
  const signal = await stop.first;
  logger.info('the safekeeper closes', { signal });
  await closeInTime(service);
  logger.info('the safekeeper has closed');
}

/** Timers of the clock door keep no process alive, and there are moments when nothing but one is waited for. */
function keepAlive(): Disposable {
  const timer = setInterval(() => undefined, 2 ** 31 - 1);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Waits for the first signal; a second one ends the process. */
class StopSignals implements Disposable {
  readonly first: Promise<SignalName>;
  #resolve: (signal: SignalName) => void = () => undefined;
  #count = 0;
  readonly #listener = (signal: NodeJS.Signals): void => {
    this.#count++;
    if (this.#count > 1) process.exit(128 + SIGNALS[signal as SignalName]);
    this.#resolve(signal as SignalName);
  };

  constructor() {
    this.first = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    for (const signal of Object.keys(SIGNALS)) process.on(signal, this.#listener);
  }

  [Symbol.dispose](): void {
    for (const signal of Object.keys(SIGNALS)) process.off(signal, this.#listener);
  }
}

async function closeInTime(service: SafekeeperService): Promise<void> {
  let timeout: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timeout = setTimeout(() => {
      // With the status that the error gets, when it has been printed.
      setTimeout(() => process.exit(), 1000).unref();
      reject(
        new VarveError(
          'unavailable',
          'CLOSE_TIMEOUT',
          `the safekeeper did not close within ${CLOSE_TIMEOUT_MS} ms`,
        ),
      );
    }, CLOSE_TIMEOUT_MS);
  });
  try {
    await Promise.race([service.close(), tooLate]);
  } finally {
    clearTimeout(timeout);
  }
}
