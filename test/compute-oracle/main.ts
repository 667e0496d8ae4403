/**
 * A compute on three safekeepers and a pageserver, each a process, under a mixed load, while its backends, its server, its agent
 * or all of them are killed; compared with a plain PostgreSQL:
 *
 *     npm run compute-oracle [-- --minutes M --seed N --exec CMD --pg-bin DIR --compute=OPTIONS --verbose]
 *
 * `--exec` runs a program beside the rest, in a database of its own, with PGHOST, PGPORT, PGUSER and PGDATABASE set;
 * `--compute` gives `varve compute` further options.
 */
import { parseArgs } from 'node:util';
import { runOracle } from './oracle.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    exec: { type: 'string' },
    'pg-bin': { type: 'string' },
    compute: { type: 'string', default: '' },
    verbose: { type: 'boolean', default: false },
  },
});

const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (!(minutes > 0) || !Number.isSafeInteger(seed)) throw new Error('--minutes and --seed are numbers');
console.log(`compute-oracle: seed ${seed}`);
const { restarts, acknowledged, lost, difference, problems } = await runOracle({
  seed,
  milliseconds: minutes * 60_000,
  restartsMax: Number.POSITIVE_INFINITY,
  ...(values['pg-bin'] === undefined ? {} : { pgBin: values['pg-bin'] }),
  ...(values.exec === undefined ? {} : { command: values.exec }),
  computeOptions: values.compute.split(' ').filter((part) => part !== ''),
  ...(values.verbose ? { onEvent: (text) => console.log(text) } : {}),
});
if (lost.length > 0) console.log(`lost: ${lost.slice(0, 20).join(', ')}`);
if (difference !== undefined) console.log(difference);
for (const problem of problems.slice(0, 20)) console.log(problem);
const isEqual = difference === undefined;
const isSound = problems.length === 0;
console.log(
  `compute-oracle: restarts=${restarts} acked=${acknowledged} lost=${lost.length} dump=${isEqual ? 'equal' : 'different'} amcheck=${isSound ? 'ok' : 'failed'}`,
);
if (!isEqual || !isSound || lost.length > 0) process.exitCode = 1;
