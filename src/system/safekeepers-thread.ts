import type { ServiceContext, ServiceInThread } from '../io/services.ts';
import { startSafekeeper } from '../safekeeper/main.ts';
import { logToFile } from './log-to-file.ts';
import type { SafekeepersSetup, ServiceAddresses } from './service-options.ts';

/** Runs all safekeepers of a system in this thread. */
export async function startService(
  { safekeepers, logLevel }: SafekeepersSetup,
  context: ServiceContext,
): Promise<ServiceInThread<ServiceAddresses[]>> {
  await using started = new AsyncDisposableStack();
  const answer = await Promise.all(
    safekeepers.map(async (options) => {
      const { nodeId: id } = options;
      const logger = logToFile(context, `safekeeper-${id}`, logLevel).child({ safekeeperId: id });
      const service = started.use(await startSafekeeper(options, logger));
      const { pg, http } = service.addresses;
      return { id, pg, http };
    }),
  );
  const running = started.move();
  return { answer, close: () => running.disposeAsync() };
}
