/**
 * Sessions that read and write a database which is larger than shared_buffers and than the disk's budget, while blocks are given
 * back and read again all the time; each compares what it finds with a model:
 *
 *     node test/disk-budget/main.ts [--seconds S --seed N --sessions N --budget MIB --rows N --checksums]
 */
import { parseArgs } from 'node:util';
import { formatResult, runStress } from './stress.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    sessions: { type: 'string', default: '16' },
    budget: { type: 'string', default: '96' },
    rows: { type: 'string', default: '4000' },
    checksums: { type: 'boolean', default: false },
  },
});

const seed = Number(values.seed);
console.log(`disk-budget: seed ${seed}`);
const result = await runStress({
  sessions: Number(values.sessions),
  milliseconds: Number(values.seconds) * 1000,
  seed,
  hasChecksums: values.checksums,
  budgetMib: Number(values.budget),
  rows: Number(values.rows),
});
console.log(formatResult(result));
for (const problem of result.problems) console.log(problem);
if (result.problems.length > 0) process.exitCode = 1;
