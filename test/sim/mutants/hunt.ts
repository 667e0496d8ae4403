/** Runs seeds from 1 on until one breaks a rule, and prints which one and what; with apply.ts, of a mutant. */
import { runSeed } from '../cluster/run-seed.ts';

const seedsMax = Number(process.argv[2]);
for (let seed = 1; seed <= seedsMax; seed++) {
  const { violation } = await runSeed({ seed, safekeepers: 3 });
  if (violation === undefined) continue;
  console.log(`${seed} ${violation.message}`);
  process.exit(0);
}
process.exitCode = 1;
