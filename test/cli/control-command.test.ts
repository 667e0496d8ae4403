import { afterAll, beforeAll, expect, test } from 'vitest';
import { StockPostgres } from '../support/stock-postgres.ts';
import { VarveFamily } from '../support/varve-process.ts';

let database: StockPostgres;
let family: VarveFamily;

beforeAll(async () => {
  database = await StockPostgres.create({ major: 17 });
  await database.start();
  family = new VarveFamily();
});

afterAll(async () => {
  await family?.[Symbol.asyncDispose]();
  await database?.dispose();
});

test('varve control serves until it is stopped, and knows the nodes that it was given by then', async () => {
  const url = ['--database-url', database.connectionString()];
  const listen = ['--listen', '127.0.0.1:0', '--log-level', 'silent'];
  const first = family.start(['control', ...url, ...listen, '--pageservers', '1=127.0.0.1:6400/9898']);
  const { http } = await first.line<{ http: { port: number } }>();
  const answer = await fetch(`http://127.0.0.1:${http.port}/api/v1/nodes`);
  expect(await answer.json()).toEqual({
    nodes: [
      {
        kind: 'pageserver',
        id: 1,
        pgHost: '127.0.0.1',
        pgPort: 6400,
        httpUrl: 'http://127.0.0.1:9898',
        isSchedulable: true,
      },
    ],
  });
  expect(await first.kill('SIGTERM')).toBe(0);
  const second = family.start(['control', ...url, ...listen]);
  const again = await second.line<{ http: { port: number } }>();
  const project = await fetch(`http://127.0.0.1:${again.http.port}/api/v1/projects`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'p' }),
  });
  // There is no safekeeper to place it on.
  expect(project.status).toBe(503);
  expect(await project.json()).toMatchObject({ code: 'NO_NODE' });
  // Its database goes: it ends, so that whoever watches over it starts it anew.
  await database.stop('immediate');
  expect(await second.ended).toBeTypeOf('number');
});

test('what it cannot run with is said', async () => {
  const started = family.start([
    'control',
    '--listen',
    '127.0.0.1:0',
    '--database-url',
    'postgres://127.0.0.1:1/none',
  ]);
  expect(await started.ended).not.toBe(0);
  expect(started.errorText).toContain('CONTROL_DATABASE_UNAVAILABLE');
});
