// What was acknowledged is on a branch that is made after it, whatever has become of the compute: with real computes, each a
// process of its own.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formatLsn, type Lsn } from '../../src/base/lsn.ts';
import {
  type Branch,
  branchAnswerSchema,
  branchSchema,
  projectAnswerSchema,
} from '../../src/contracts/control-api.ts';
import { query, readyLine } from '../compute/compute-client.ts';
import { VarveFamily, type VarveProcess } from '../support/varve-process.ts';
import { ControlWorld } from './control-world.ts';

const TIMEOUT_MS = 120_000;

let world: ControlWorld;
let family: VarveFamily;
let number = 0;

beforeAll(async () => {
  world = await ControlWorld.start();
  family = new VarveFamily(world.directory);
  await world.must(projectAnswerSchema, 'POST', 'projects', { name: 'h' });
}, TIMEOUT_MS);

afterAll(async () => {
  await family?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

function startCompute({ projectId, timelineId }: Branch): VarveProcess {
  const members = world.safekeepers.map(
    ({ addresses }, index) => `${index + 1}=127.0.0.1:${addresses.pg.port}`,
  );
  return family.start([
    ...['compute', '--tenant', projectId, '--timeline', timelineId],
    ...['--pageserver', `127.0.0.1:${world.pageserver.addresses.pg.port}`],
    ...['--safekeepers', members.join(','), '--generation', '1'],
    ...['--dir', join(world.directory, `compute-${number++}`), '--listen', '127.0.0.1:0'],
  ]);
}

const branchFrom = async (name: string, body: object = {}): Promise<Branch> =>
  (await world.must(branchAnswerSchema, 'POST', 'projects/h/branches', { name, ...body })).branch;

async function countOn(branch: Branch): Promise<number> {
  const compute = startCompute(branch);
  const { url } = await readyLine(compute);
  const [row] = await query(url, 'SELECT count(*)::int AS n FROM ledger');
  await compute.kill('SIGKILL');
  return row?.['n'] as number;
}

test('an acknowledged commit is on the branch, while the compute runs, when it was killed, and when it was stopped', {
  timeout: TIMEOUT_MS,
}, async () => {
  const main = await world.must(branchSchema, 'GET', 'projects/h/branches/main');
  const first = startCompute(main);
  const { url } = await readyLine(first);
  await query(url, 'CREATE TABLE ledger (id int PRIMARY KEY)');
  await query(url, 'INSERT INTO ledger SELECT generate_series(1, 100)');
  expect(await countOn(await branchFrom('running'))).toBe(100);
  await query(url, 'INSERT INTO ledger SELECT generate_series(101, 150)');
  const [row] = await query(url, 'SELECT clock_timestamp() AS now');
  const moment = row?.['now'] as Date;
  await query(url, 'INSERT INTO ledger VALUES (151)');
  await first.kill('SIGKILL');
  expect(await countOn(await branchFrom('killed'))).toBe(151);
  expect(await countOn(await branchFrom('earlier', { time: moment }))).toBe(150);
  // Before the parent was made: what it was then is in its own parent's history.
  const before = await branchFrom('before', { parent: 'killed', time: moment });
  expect(before.parentId).toBe(main.id);
  expect(await countOn(before)).toBe(150);
  const lsn = formatLsn(before.ancestorLsn as Lsn);
  const same = { parentId: main.id, ancestorLsn: before.ancestorLsn };
  expect(await branchFrom('before-too', { parent: 'killed', lsn })).toMatchObject(same);
  const second = startCompute(main);
  await query((await readyLine(second)).url, 'INSERT INTO ledger VALUES (152)');
  await second.kill('SIGTERM');
  expect(await countOn(await branchFrom('stopped'))).toBe(152);
});

test('WAL that is on a majority, and of which nobody knew that it was committed, is on the branch', {
  timeout: TIMEOUT_MS,
}, async () => {
  const main = await world.must(branchSchema, 'GET', 'projects/h/branches/main');
  for (let round = 0; round < 3; round++) {
    const compute = startCompute(main);
    const { url } = await readyLine(compute);
    const [row] = await query(
      url,
      `INSERT INTO ledger VALUES (${1000 + round}) RETURNING (SELECT count(*)::int + 1 AS n FROM ledger)`,
    );
    // At once: what the quorum has is not told to the safekeepers any more.
    await compute.kill('SIGKILL');
    expect(await countOn(await branchFrom(`at-once-${round}`))).toBe(row?.['n']);
  }
});
