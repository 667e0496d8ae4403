import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { SeededRandom } from '../support/seeded-random.ts';

const LOWEST = 12_000;
const RANGE_FILE = '/proc/sys/net/ipv4/ip_local_port_range';
const ATTEMPTS = 100;

/**
 * A free port that the kernel gives to nobody who connects. A service that comes and goes needs one: while it is away,
 * a client that tries to reach it at a port of that range may be given this very port, and then be connected to itself.
 */
export async function findLastingPort(random: SeededRandom): Promise<number> {
  let limit = 32_768;
  try {
    limit = Number(readFileSync(RANGE_FILE, 'utf8').split(/\s+/)[0]);
  } catch {
    // Not Linux: the usual range.
  }
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = LOWEST + random.below(limit - LOWEST);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port from ${LOWEST} to ${limit}`);
}

function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  return new Promise((resolve) => {
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}
