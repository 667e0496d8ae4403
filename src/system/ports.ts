import { AssertionError, VarveError } from '../base/errors.ts';
import type { Listener, Sockets } from '../io/sockets.ts';

const LOOPBACK = '127.0.0.1';

/**
 * Ports of 127.0.0.1 that are free now: those that are wanted, and others in the place of those that somebody has.
 * @param wanted 0: any
 */
export async function findFreePorts(sockets: Sockets, wanted: readonly number[]): Promise<number[]> {
  // All at once, so that none is given twice.
  await using taken = new AsyncDisposableStack();
  const ports: number[] = [];
  for (const port of wanted) {
    const listener = (await listenAt(sockets, port)) ?? (await listenAt(sockets, 0));
    if (listener === undefined) throw new AssertionError('any port is taken');
    taken.use(listener);
    if (!('port' in listener.address)) throw new AssertionError('no port is free');
    ports.push(listener.address.port);
  }
  return ports;
}

/** undefined: somebody else has it. */
async function listenAt(sockets: Sockets, port: number): Promise<Listener | undefined> {
  try {
    return await sockets.listen({ host: LOOPBACK, port }, (connection) => connection.close());
  } catch (error) {
    if (error instanceof VarveError && error.code === 'ADDRESS_IN_USE') return undefined;
    throw error;
  }
}

/** @throws VarveError ‘conflict’ / PORT_IN_USE, which says by whom */
export async function checkPort(
  sockets: Sockets,
  { host, port }: { readonly host: string; readonly port: number },
  describeOwner: (port: number) => string | undefined,
): Promise<void> {
  try {
    await using _listener = await sockets.listen({ host, port }, (connection) => connection.close());
  } catch (error) {
    if (!(error instanceof VarveError) || error.code !== 'ADDRESS_IN_USE') throw error;
    const owner = describeOwner(port) ?? 'another program';
    const reason = `port ${port} of ${host} is taken by ${owner}: choose another one with --port, or a free one with --port 0`;
    throw new VarveError('conflict', 'PORT_IN_USE', reason, {}, error);
  }
}
