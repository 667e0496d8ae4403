// A process of the safekeepers' benchmark: loads a server with small transactions.
import { Client } from 'pg';
import type { LoadRequest, LoadResult } from './safekeeper/load-messages.ts';

const INSERT = { name: 'insert', text: 'INSERT INTO load (id, payload) VALUES ($1, $2)' };
const PAYLOAD = 'forty characters of what a row may hold.';

async function load({ config, clients, warmUpMs, measuredMs }: LoadRequest): Promise<LoadResult> {
  const connected = await Promise.all(
    Array.from({ length: clients }, async () => {
      const client = new Client(config);
      await client.connect();
      return client;
    }),
  );
  const latenciesUs: number[] = [];
  const beginMs = performance.now() + warmUpMs;
  const endMs = beginMs + measuredMs;
  let allCommits = 0;
  const run = async (client: Client): Promise<void> => {
    for (let id = 0; ; id++) {
      const startMs = performance.now();
      if (startMs >= endMs) return;
      await client.query({ ...INSERT, values: [id, PAYLOAD] });
      allCommits++;
      if (startMs >= beginMs) latenciesUs.push((performance.now() - startMs) * 1000);
    }
  };
  await Promise.all(connected.map(run));
  await Promise.all(connected.map((client) => client.end()));
  latenciesUs.sort((left, right) => left - right);
  const at = (part: number): number => latenciesUs[Math.floor(part * (latenciesUs.length - 1))] as number;
  return {
    commits: latenciesUs.length,
    commitsPerS: (latenciesUs.length / measuredMs) * 1000,
    p50Us: at(0.5),
    p99Us: at(0.99),
    allCommits,
  };
}

process.on('message', (request) => {
  void load(request as LoadRequest).then((result) => process.send?.(result));
});
process.on('disconnect', () => process.exit());
