import { getCompileCacheDir } from 'node:module';
import { dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { fromTransferredError } from '../../base/error-transfer.ts';
import { VarveError } from '../../base/errors.ts';
import { cancelledError } from '../cancelled.ts';
import type { RunningService } from '../services.ts';
import { resolveModule } from '../workers.ts';
import type { ServiceNews, ServiceRequest, ServiceSetup } from './service-protocol.ts';

export interface ServiceThread {
  /** For messages. */
  readonly name: string;
  /** URL of a module that exports `startService` (src/io/services.ts). */
  readonly module: string;
  readonly options: unknown;
  readonly logs: ServiceSetup['logs'];
  /** Ends its start. */
  readonly signal: AbortSignal;
}

/**
 * Starts a service in a thread of its own.
 * @throws what its start fails of; VarveError ‘unavailable’ / SERVICE_ENDED
 */
export async function startServiceThread<Answer>({
  name,
  module,
  options,
  logs,
  signal,
}: ServiceThread): Promise<RunningService<Answer>> {
  const cache = getCompileCacheDir();
  const worker = new Worker(resolveModule('./service-thread-entry.ts', import.meta.url), {
    name,
    // The directory of this version of Node.js is below the one that was asked for.
    workerData: {
      module,
      options,
      logs,
      compileCache: cache === undefined ? undefined : dirname(cache),
    } satisfies ServiceSetup,
  });
  const serving = Promise.withResolvers<Answer>();
  const closed = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<Error | undefined>();
  let isTold = false;
  let failure: Error | undefined;
  const fail = (error: Error): void => {
    failure ??= error;
    serving.reject(error);
  };
  closed.promise.catch(() => undefined);
  worker.on('message', (news: ServiceNews) => {
    if (news.kind === 'serves') serving.resolve(news.answer as Answer);
    else if (news.kind === 'failed') fail(fromTransferredError(news.error));
    else if (news.error === undefined) closed.resolve();
    else closed.reject(fromTransferredError(news.error));
  });
  worker.on('error', (error) => fail(error as Error));
  worker.on('exit', (code) => {
    const reason = `the thread of the ${name} has ended (${code})`;
    fail(new VarveError('unavailable', 'SERVICE_ENDED', reason, {}, failure));
    closed.resolve();
    gone.resolve(isTold ? undefined : failure);
  });
  const onAbort = (): void => fail(cancelledError(signal));
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const answer = await serving.promise
    .catch(async (error: unknown) => {
      await worker.terminate();
      throw error;
    })
    .finally(() => signal.removeEventListener('abort', onAbort));
  return {
    answer,
    ended: gone.promise,
    tidy: () => worker.postMessage('tidy' satisfies ServiceRequest),
    async close(): Promise<void> {
      if (!isTold) worker.postMessage('close' satisfies ServiceRequest);
      isTold = true;
      await closed.promise;
      await worker.terminate();
    },
    async kill(): Promise<void> {
      isTold = true;
      await worker.terminate();
    },
  };
}
