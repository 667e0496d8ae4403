import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { HTTP_SHOTS, type Routes } from './http-shots.ts';
import { PAGE_SHOTS } from './page-shots.ts';
import { PageserverUnderFire, SECRET, VICTIM } from './pageserver-under-fire.ts';
import { Shot } from './shot.ts';

export interface PortsFuzzOptions {
  readonly seed: number;
  readonly shots: number;
  readonly onProgress?: (done: number) => void;
}

export interface PortsFuzzResult {
  readonly shots: Readonly<Record<string, number>>;
  /** Of memory that is in use after the first part and at the end. */
  readonly usedBytes: { readonly before: number; readonly after: number };
}

/** A shot that did more than to get an answer. */
export class PortsFuzzFailure extends Error {}

/** Memory may grow by so much while the second half is shot. */
const GROWTH_BYTES_MAX: number = 24 * 1024 * 1024;
/** What a bug shows by: HTTP's, and what a client of libpq is told (sqlstate.ts). */
const BUG_TEXT = /internal error|TypeError|RangeError|is not a function|Cannot read prop/;
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Of what is live. */
export async function usedBytes(): Promise<number> {
  // What a first collection lets go of may have finalizers.
  for (let times = 0; times < 3; times++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function readRoutes(world: PageserverUnderFire): Promise<Routes> {
  const shot = await Shot.at(world, 'http');
  shot.send('GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  await shot.until(() => false);
  const text = shot.received.toString('utf8');
  return JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1)) as Routes;
}

/** Lets nothing pass that tells of a bug. */
function checkLog(world: PageserverUnderFire): void {
  for (const line of world.takeLog()) {
    const text = JSON.stringify(line);
    if (line.level === 'error' || BUG_TEXT.test(describe(line['error'])))
      throw new Error(`the log says: ${text}`);
    if (world.tokens.some((token) => text.includes(token))) throw new Error(`a token is in the log: ${text}`);
  }
}

/** Of what others have thrown, which may be the cause of an error of ours, nothing. */
function describe(error: unknown): string {
  if (typeof error !== 'object' || error === null) return String(error);
  return 'message' in error ? String(error.message) : '';
}

/**
 * Shoots at both ports of a pageserver: after each shot somebody else's pages must be there, the log must tell of no bug,
 * and nobody must have got what is not for him. The same seed gives the same shots, but for what tokens are
 * made of.
 *
 * @throws PortsFuzzFailure naming the shot's own seed
 */
export async function fuzzPorts({ seed, shots, onProgress }: PortsFuzzOptions): Promise<PortsFuzzResult> {
  await using world = await PageserverUnderFire.open();
  const routes = await readRoutes(world);
  const kinds = [...Object.entries(PAGE_SHOTS), ...Object.entries(HTTP_SHOTS)] as const;
  const counts: Record<string, number> = Object.fromEntries(kinds.map(([name]) => [name, 0]));
  let before = 0;
  for (let number = 0; number < shots; number++) {
    if (number === Math.floor(shots / 2)) before = await usedBytes();
    const shotSeed = (seed + number) >>> 0;
    const random = new SeededRandom(shotSeed);
    const [name, shoot] = random.pick(kinds);
    counts[name] = (counts[name] as number) + 1;
    try {
      const shot = await shoot(world, random, routes);
      const { received } = shot;
      shot.close();
      if (received.includes(SECRET)) throw new Error("it gets the witness's pages");
      if (BUG_TEXT.test(received.toString('latin1')))
        throw new Error(`it gets ${received.toString('latin1')}`);
      await world.checkWitness();
      checkLog(world);
      await world.restore(VICTIM);
    } catch (error) {
      throw new PortsFuzzFailure(`${name}, seed ${shotSeed}: ${String(error)}`, { cause: error });
    }
    if (number % 1000 === 999) onProgress?.(number + 1);
  }
  const after = await usedBytes();
  if (after - before > GROWTH_BYTES_MAX) {
    throw new PortsFuzzFailure(`${after - before} bytes stay in use after ${shots / 2} shots`);
  }
  return { shots: counts, usedBytes: { before, after } };
}
