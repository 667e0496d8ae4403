import type { Connection } from '../../../src/io/sockets.ts';
import { Kernel } from '../kernel.ts';
import type { SimDoors, SimNode } from '../kernel-node.ts';

const PORT = 5454;
const MESSAGE_BYTES = 64;

/** Writes what it gets to its disk, syncs, and sends it back: a safekeeper without its rules. */
async function serve({ files, sockets }: SimDoors): Promise<void> {
  const file = await files.openForUpdate('/data/log');
  let position = file.sizeBytes;
  const accept = (connection: Connection): void => {
    connection.receive({
      onBytes(chunk) {
        file.writeNow(chunk, 0, chunk.length, position);
        position += chunk.length;
        void file.sync().then(() => {
          if (!connection.isClosed) connection.send(chunk);
        });
      },
      onEnd: () => connection.close(),
      onClosed: () => undefined,
    });
  };
  await sockets.listen({ host: '0.0.0.0', port: PORT }, accept);
}

/** What the cluster has achieved. */
export interface EchoCounts {
  echoedBytes: number;
  connects: number;
  failures: number;
}

/** Sends messages one after another to one server, and connects again when the connection is lost. */
async function talk({ clock, sockets }: SimDoors, host: string, counts: EchoCounts): Promise<void> {
  const message = new Uint8Array(MESSAGE_BYTES);
  const { signal } = new AbortController();
  for (;;) {
    try {
      const connection = await sockets.connect({ host, port: PORT }, signal);
      counts.connects++;
      let owedBytes = MESSAGE_BYTES;
      await new Promise<void>((resolve) => {
        connection.receive({
          onBytes(chunk) {
            counts.echoedBytes += chunk.length;
            owedBytes -= chunk.length;
            if (owedBytes > 0) return;
            owedBytes += MESSAGE_BYTES;
            connection.send(message);
          },
          onEnd: () => connection.close(),
          onClosed: () => resolve(),
        });
        connection.send(message);
      });
    } catch {
      // Nobody listens there now: the next try is counted.
    }
    counts.failures++;
    await new Promise<void>((resolve) => clock.setTimer(50, resolve));
  }
}

/** Clients and servers with as many faults as fit in: for what has to hold of every run, whatever runs. */
export function echoCluster(seed: number, serverCount: number, faultEveryMs: number): [Kernel, EchoCounts] {
  const kernel = new Kernel(seed);
  const counts: EchoCounts = { echoedBytes: 0, connects: 0, failures: 0 };
  const servers: SimNode[] = [];
  const client = kernel.addNode('client');
  for (let index = 0; index < serverCount; index++) {
    const server = kernel.addNode(`server${index}`);
    server.disk.provideDirectory('/data');
    server.onCrash = () => kernel.after(undefined, 100_000, () => server.start(serve));
    server.start(serve);
    servers.push(server);
  }
  client.start(async (doors) => {
    await Promise.all(servers.map((server) => talk(doors, server.name, counts)));
  });
  const { random, network } = kernel;
  network.settings.breakAfterMs = network.settings.connectTimeoutMs = 300;
  network.settings.keepaliveMs = 500;
  const fault = (): void => {
    const server = random.pick(servers);
    const action = random.below(5);
    if (action === 0) server.crash({ kind: random.chance(0.5) ? 'kill' : 'power' });
    else if (action === 1)
      server.crashAtEffect(1 + random.below(50), random.pick(['before', 'middle', 'after']));
    else if (action === 2) {
      const isThere = random.chance(0.5);
      network.block(isThere ? client : server, isThere ? server : client);
    } else if (action === 3) network.healAll();
    else network.breakConnections(server, client);
    kernel.after(undefined, random.below(2 * faultEveryMs * 1000), fault);
  };
  if (faultEveryMs > 0) kernel.after(undefined, faultEveryMs * 1000, fault);
  return [kernel, counts];
}
