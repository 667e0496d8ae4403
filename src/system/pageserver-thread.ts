import type { ServiceContext, ServiceInThread } from '../io/services.ts';
import { startPageserver } from '../pageserver/main.ts';
import { logToFile } from './log-to-file.ts';
import type { PageserverSetup, ServiceAddresses } from './service-options.ts';

/** Runs the pageserver of a system in this thread. */
export async function startService(
  { pageserver, logLevel }: PageserverSetup,
  context: ServiceContext,
): Promise<ServiceInThread<ServiceAddresses>> {
  const { nodeId: id } = pageserver;
  const service = await startPageserver(
    pageserver,
    logToFile(context, 'pageserver', logLevel).child({ pageserverId: id }),
  );
  const { pg, http } = service.addresses;
  return { answer: { id, pg, http }, close: () => service.close() };
}
