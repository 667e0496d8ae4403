// npm run fuzz -- [--cases N] [--seed S]: see fuzz.ts. `--cases 1 --seed CASE` repeats one case.
import { parseArgs } from 'node:util';
import { runFuzz } from './fuzz.ts';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
  },
});
const cases = Number(values.cases);
const seed = Number(values.seed);
if (!Number.isInteger(cases) || cases < 1 || !Number.isInteger(seed))
  throw new Error('--cases and --seed are whole numbers');
console.log(`fuzz: ${cases} cases from seed ${seed}`);
const started = performance.now();
const { targets, slowestMs } = runFuzz({
  cases,
  seed,
  onProgress: (done) => {
    if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${cases}`);
  },
});
for (const [name, { values: kept, refused }] of Object.entries(targets)) {
  console.log(
    `${name.padEnd(8)} ${String(kept).padStart(9)} gave a value, ${String(refused).padStart(9)} were refused`,
  );
}
const seconds = (performance.now() - started) / 1000;
console.log(
  `fuzz: cases=${cases} failures=0 seconds=${seconds.toFixed(1)} slowest_ms=${slowestMs.toFixed(1)}`,
);
