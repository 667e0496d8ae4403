import { VarveError } from '../../base/errors.ts';

/** How long a service that is told to end may take for it. */
const CLOSE_TIMEOUT_MS = 30_000;
/** Numbers of the signals, for the status of a process that one has ended (signal(7)). */
const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;
export type SignalName = keyof typeof SIGNALS;

/**
 * Runs a service as this process: starts it, waits for SIGTERM or SIGINT, and closes it. A second signal ends the process
 * at once, from the first moment on.
 *
 * @param start the service, when it serves
 * @param onStop told which signal has come, before the service is closed
 * @throws what `start` throws; VarveError ‘unavailable’ / CLOSE_TIMEOUT where the service does not come to an end in
 * time: the process is then ended all the same
 */
export async function runUntilStopped(
  start: () => Promise<{ close(): Promise<void> }>,
  onStop: (signal: SignalName) => void,
): Promise<void> {
  using stop = new StopSignals();
  using _alive = keepAlive();
  const service = await start();
  onStop(await stop.first);
  await closeInTime(service);
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

async function closeInTime(service: { close(): Promise<void> }): Promise<void> {
  let timeout: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timeout = setTimeout(() => {
      // With the status that the error gets, when it has been printed.
      setTimeout(() => process.exit(), 1000).unref();
      reject(
        new VarveError(
          'unavailable',
          'CLOSE_TIMEOUT',
          `the service did not close within ${CLOSE_TIMEOUT_MS} ms`,
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
