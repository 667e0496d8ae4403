/** Runs so many seeds, from one on, until one breaks a rule, and prints which one and what; with apply.ts, of a mutant. */
import { runSeed } from '../cluster/run-seed.ts';

const [seedsMax, firstSeed = 1] = process.argv.slice(2).map(Number) as [number, number?];
for (let seed = firstSeed; seed < firstSeed + seedsMax; seed++) {
  const { violation } = await runSeed({ seed, safekeepers: 3 });
  if (violation === undefined) continue;
  console.log(`${seed} ${violation.message}`);
  process.exit(0);
}
process.exitCode = 1;
