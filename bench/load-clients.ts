// A process of the load's benchmark: the clients of a server.
import { serveCommands } from '../test/support/command-process.ts';
import { Latencies } from './getpage/latencies.ts';
import type { LoadClientCommands, LoadRequest, LoadResult } from './load/client-messages.ts';
import { RawClient } from './load/raw-client.ts';
import { prepareScript } from './load/tables.ts';
import { processMs } from './support/measure.ts';

async function run({ path, clients, warmUpMs, measuredMs, script }: LoadRequest): Promise<LoadResult> {
  const connected = await Promise.all(Array.from({ length: clients }, () => RawClient.connect(path)));
  try {
    const once = await Promise.all(connected.map((client) => prepareScript(client, script)));
    const latencies = new Latencies();
    const beginMs = performance.now() + warmUpMs;
    const endMs = beginMs + measuredMs;
    const beganCpuMs = processMs();
    let all = 0;
    const repeat = async (transact: () => Promise<void>): Promise<void> => {
      for (;;) {
        const startMs = performance.now();
        if (startMs >= endMs) return;
        await transact();
        all++;
        if (startMs >= beginMs) latencies.add(performance.now() - startMs);
      }
    };
    await Promise.all(once.map(repeat));
    return {
      ...latencies.percentiles(),
      transactionsPerS: latencies.count / (measuredMs / 1000),
      clientCpuUs: ((processMs() - beganCpuMs) * 1000) / all,
    };
  } finally {
    for (const client of connected) client[Symbol.dispose]();
  }
}

serveCommands<LoadClientCommands>({ run }, async () => undefined);
