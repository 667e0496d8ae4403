// npm run fuzz -- [--cases N] [--seed S]: see fuzz.ts. `--cases 1 --seed CASE` repeats one case. With --ports: so many shots
// at the ports of a pageserver, see ports/fuzz-ports.ts.
import { parseArgs } from 'node:util';
import { runFuzz } from './fuzz.ts';
import { fuzzPorts } from './ports/fuzz-ports.ts';

const { values } = parseArgs({
  options: {
    cases: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    ports: { type: 'boolean', default: false },
  },
});
const cases = Number(values.cases ?? (values.ports ? 20_000 : 1_000_000));
const seed = Number(values.seed);
if (!Number.isInteger(cases) || cases < 1 || !Number.isInteger(seed))
  throw new Error('--cases and --seed are whole numbers');
console.log(`fuzz: ${cases} cases from seed ${seed}`);
const onProgress = (done: number): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${cases}`);
};
const started = performance.now();
const worst = values.ports ? await shoot() : run();
const seconds = (performance.now() - started) / 1000;
console.log(`fuzz: cases=${cases} failures=0 seconds=${seconds.toFixed(1)} ${worst}`);

function run(): string {
  const { targets, slowestMs } = runFuzz({ cases, seed, onProgress });
  for (const [name, { values: kept, refused }] of Object.entries(targets)) {
    console.log(
      `${name.padEnd(8)} ${String(kept).padStart(9)} gave a value, ${String(refused).padStart(9)} were refused`,
    );
  }
  return `slowest_ms=${slowestMs.toFixed(1)}`;
}

async function shoot(): Promise<string> {
  const { shots, usedBytes } = await fuzzPorts({ seed, shots: cases, onProgress });
  for (const [name, count] of Object.entries(shots)) {
    console.log(`${name.padEnd(8)} ${String(count).padStart(9)} shots`);
  }
  return `growth_bytes=${usedBytes.after - usedBytes.before}`;
}
