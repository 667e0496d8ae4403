/** Random walks by hand: `node test/sim/consensus/main.ts [walks] [first seed] [steps]`. */
import { walk } from './walk.ts';
import type { Mutant } from './world.ts';

const [walks = '1000', first = '1', stepCount = '600', mutant] = process.argv.slice(2);
const startedAt = performance.now();
let failures = 0;
const refusals = new Map<string, number>();
let commits = 0;
let cuts = 0;
let elections = 0;
for (let seed = Number(first); seed < Number(first) + Number(walks); seed++) {
  try {
    const world = walk({ seed, steps: Number(stepCount), mutant: mutant as Mutant | undefined });
    for (const [code, count] of world.refusals) refusals.set(code, (refusals.get(code) ?? 0) + count);
    for (const { disk } of world.acceptors) cuts += disk.cutCount;
    elections += world.observer.elections.count;
    commits += world.observer.committedLog.commitLsn;
  } catch (error) {
    failures++;
    console.log(`seed ${seed}: ${error instanceof Error ? error.message : error}`);
    if (Number(walks) === 1) {
      const trace: string[] = [];
      try {
        walk({ seed, steps: Number(stepCount), mutant: mutant as Mutant | undefined, trace });
      } catch (again) {
        console.log(trace.join('\n'), again);
      }
    }
    if (failures >= 20) break;
  }
}
console.log(
  `${walks} walks, ${failures} failures, ${elections} elections, ${cuts} cuts, ${commits} bytes committed, ${Math.round(performance.now() - startedAt)} ms`,
);
console.log(Object.fromEntries(refusals));
process.exitCode = failures === 0 ? 0 : 1;
