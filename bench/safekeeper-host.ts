// A process of the safekeepers' benchmark: does what the process that has forked it asks for.
import { Host } from './safekeeper/host.ts';
import type { HostAnswer, HostRequest } from './safekeeper/host-messages.ts';

const host = new Host();

async function answer({ id, command, argument }: HostRequest): Promise<HostAnswer> {
  try {
    return { id, answer: await host.carryOut(command, argument as never) };
  } catch (error) {
    return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

process.on('message', (request) => {
  void answer(request as HostRequest).then((message) => process.send?.(message));
});
// Nobody is left who could want something.
process.on('disconnect', () => {
  void host.stop().then(() => process.exit());
});
