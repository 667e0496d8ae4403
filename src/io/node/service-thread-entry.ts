import { enableCompileCache, flushCompileCache } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import { toTransferredError } from '../../base/error-transfer.ts';
import { AssertionError } from '../../base/errors.ts';
import type { ServiceInThread, StartService } from '../services.ts';
import { nodeClock } from './clock.ts';
import { collectGarbage } from './collect-garbage.ts';
import { LogFiles } from './log-file.ts';
import type { ServiceNews, ServiceRequest, ServiceSetup } from './service-protocol.ts';

const { module, options, logs, compileCache } = workerData as ServiceSetup;
if (parentPort === null) throw new AssertionError('this runs in a thread of its own');
const port = parentPort;
const say = (news: ServiceNews): void => port.postMessage(news);

// Each thread keeps what it compiles by itself.
if (compileCache !== undefined) enableCompileCache(compileCache);
const files = new LogFiles(logs.directory, logs.bytesMax);

async function run(): Promise<void> {
  const { startService } = (await import(module)) as { startService: StartService<unknown, unknown> };
  const service = await startService(options, {
    clock: nodeClock,
    writeLog: (name, line) => files.write(name, line),
  });
  port.on('message', (request: ServiceRequest) => {
    if (request === 'tidy') collectGarbage();
    else void close(service);
  });
  say({ kind: 'serves', answer: service.answer });
  // Threads are often killed, which keeps nothing.
  if (compileCache !== undefined) flushCompileCache();
}

async function close(service: ServiceInThread<unknown>): Promise<void> {
  try {
    await service.close();
    say({ kind: 'closed', error: undefined });
  } catch (error) {
    say({ kind: 'closed', error: toTransferredError(error) });
  }
  port.close();
}

run().catch((error: unknown) => {
  say({ kind: 'failed', error: toTransferredError(error) });
  port.close();
});
