import { describe, expect, test } from 'vitest';
import { scanSource } from './scan.ts';
import { verifyImports } from './verify.ts';

const verify = (files: Record<string, string>): string[] =>
  verifyImports(Object.entries(files).map(([path, text]) => scanSource(path, text)));

const problemOf = (path: string, text: string): string => {
  const problems = verify({ [path]: text });
  expect(problems).toHaveLength(1);
  return problems[0] ?? '';
};

describe('directions', () => {
  const refused: [path: string, target: string, reason: RegExp][] = [
    [
      'src/base/lsn.ts',
      '../postgres/page/page.ts',
      /base may import nothing outside of itself: base holds the leaves/,
    ],
    [
      'src/postgres/wal/a.ts',
      '../../redo/heap.ts',
      /postgres may import only base: it knows PostgreSQL's own/,
    ],
    [
      'src/redo/heap.ts',
      '../contracts/page-messages.ts',
      /redo may import only postgres, base: redo is a pure function/,
    ],
    ['src/contracts/a.ts', '../io/files.ts', /contracts may import only postgres, base/],
    ['src/io/files.ts', '../observe/log.ts', /io may import only base/],
    ['src/safekeeper/timeline.ts', '../proposer/proposer.ts', /they meet in contracts/],
    ['src/compute/start.ts', '../safekeeper/acceptor.ts', /only the proposer runs inside the compute agent/],
    ['src/pageserver/read/plan.ts', '../remote/download.ts', /timeline.ts hands each what it needs/],
    ['src/pageserver/layers/a.ts', '../timeline.ts', /a layer does not know the timeline/],
    ['src/cli/commands/a.ts', '../../pageserver/timeline.ts', /speaks to services or starts their main.ts/],
    ['src/safekeeper/timeline.ts', '../io/node/files.ts', /only a main.ts picks src\/io\/node/],
    ['src/base/a.ts', '../../test/support/a.ts', /nothing imports test\//],
    ['src/base/a.ts', '../../tools/a.ts', /nothing imports tools\//],
    ['src/base/a.ts', '../../package.json', /only what lies in src is in the product/],
    ['src/utils/a.ts', '../base/lsn.ts', /lies in no folder that tools\/imports\/rules.ts knows/],
    ['src/index.ts', './pageserver/timeline.ts', /the library starts services/],
    ['test/a.ts', '../src/base/lsn.test.ts', /nothing imports a test/],
    ['src/redo/heap.ts', 'pg', /imports the package pg: redo stands on no package/],
    ['src/contracts/a.ts', 'hono', /imports the package hono: contracts stands on no package but zod/],
    ['src/http/app.ts', '../safekeeper/timeline.ts', /http may import only .* and knows none/],
  ];
  test.each(refused)('%s may not import %s', (path, target, reason) => {
    expect(problemOf(path, `import { a } from '${target}';`)).toMatch(reason);
  });

  const allowed: [path: string, target: string][] = [
    ['src/base/a.ts', './lsn.ts'],
    ['src/contracts/a.ts', 'zod'],
    ['src/http/app.ts', 'hono'],
    ['src/safekeeper/http/routes.ts', '../../http/app.ts'],
    ['src/redo/heap.ts', '../postgres/page/page.ts'],
    ['src/compute/start.ts', '../proposer/drive.ts'],
    ['src/pageserver/timeline.ts', './upkeep/flush.ts'],
    ['src/pageserver/upkeep/flush.ts', '../layers/delta-layer.ts'],
    ['src/safekeeper/main.ts', '../io/node/files.ts'],
    ['src/io/node/files.ts', '../files.ts'],
    ['src/cli/main.ts', '../io/node/files.ts'],
    ['src/cli/commands/start.ts', '../../pageserver/main.ts'],
    ['src/index.ts', './control/main.ts'],
    ['src/redo/heap.test.ts', '../../test/support/stock-postgres.ts'],
    ['bench/redo.ts', '../src/redo/heap.ts'],
    ['src/cli/program.ts', 'commander'],
  ];
  test.each(allowed)('%s may import %s', (path, target) => {
    expect(verify({ [path]: `import { a } from '${target}';` })).toEqual([]);
  });

  test('every form of import counts, and the line is given', () => {
    const forms = [
      `import type { A } from '../redo/a.ts';`,
      `export { a } from '../redo/a.ts';`,
      `export * from '../redo/a.ts';`,
      `import '../redo/a.ts';`,
      `await import('../redo/a.ts');`,
      `let a: import('../redo/a.ts').A;`,
    ];
    for (const form of forms) {
      expect(problemOf('src/postgres/a.ts', `\n\n${form}`)).toMatch(
        /^src\/postgres\/a\.ts:3: imports src\/redo\/a\.ts: /,
      );
    }
    expect(problemOf('src/postgres/a.ts', 'await import(name);')).toMatch(/imports what an expression gives/);
    expect(verify({ 'src/io/node/worker-entry.ts': 'await import(name);' })).toEqual([]);
  });
});

describe('cycles', () => {
  test('a cycle is reported once, with the way through it', () => {
    const problems = verify({
      'src/base/a.ts': `import { b } from './b.ts';`,
      'src/base/b.ts': `import type { C } from './c.ts';`,
      'src/base/c.ts': `import { a } from './a.ts'; import { d } from './d.ts';`,
      'src/base/d.ts': '',
    });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(
      /^src\/base\/a\.ts: imports itself through src\/base\/b\.ts → src\/base\/c\.ts → src\/base\/a\.ts: /,
    );
  });

  test('a file that imports itself is a cycle', () => {
    expect(problemOf('src/base/a.ts', `import { a } from './a.ts';`)).toMatch(/through src\/base\/a\.ts: /);
  });

  test('two ways to the same file are none', () => {
    const problems = verify({
      'src/base/a.ts': `import { b } from './b.ts'; import { c } from './c.ts';`,
      'src/base/b.ts': `import { c } from './c.ts';`,
      'src/base/c.ts': '',
    });
    expect(problems).toEqual([]);
  });
});

describe('the world', () => {
  const refused: [path: string, text: string, reason: RegExp][] = [
    [
      'src/safekeeper/a.ts',
      `import { readFile } from 'node:fs/promises';`,
      /imports node:fs\/promises: only src\/io\/node/,
    ],
    ['src/safekeeper/a.ts', `import { Socket } from 'net';`, /imports node:net/],
    ['src/io/files.ts', `import { open } from 'node:fs';`, /imports node:fs/],
    ['src/cli/commands/a.ts', `import { spawn } from 'node:child_process';`, /imports node:child_process/],
    ['src/redo/a.ts', `import { inflateSync } from 'node:zlib';`, /only src\/io\/node \(and src\/postgres/],
    [
      'src/postgres/a.ts',
      `import { createHmac, randomBytes } from 'node:crypto';`,
      /imports randomBytes of node:crypto/,
    ],
    ['src/postgres/a.ts', `import * as crypto from 'node:crypto'; crypto.randomUUID();`, /imports all of/],
    ['src/base/a.ts', 'const t = Date.now();', /uses Date\.now: take the time from the clock door/],
    ['src/base/a.ts', 'const t = new Date();', /uses Date\.now/],
    ['src/base/a.ts', 'const t = Date["now"]();', /uses Date\.now/],
    ['src/base/a.ts', 'const t = performance.now();', /uses performance/],
    ['src/base/a.ts', 'const t = Math.random();', /uses Math\.random: take randomness from its door/],
    ['src/base/a.ts', 'const e = process.env;', /uses process: /],
    ['src/base/a.ts', 'const e = globalThis.process.env;', /uses globalThis: write the global itself/],
    ['src/base/a.ts', "const f = globalThis['setTimeout'];", /uses globalThis/],
    ['src/base/a.ts', 'const { setTimeout } = globalThis;', /uses globalThis/],
    ['src/base/a.ts', 'global.setTimeout(f, 1);', /uses global: /],
    ['src/base/a.ts', "const fs = require('node:fs');", /uses require: import it/],
    ['src/base/a.ts', "import fs = require('node:fs');", /imports node:fs/],
    ['src/base/a.ts', 'export { process };', /uses process: /],
    ['src/base/a.ts', 'const { now } = Date;', /uses Date\.\*/],
    ['src/base/a.ts', 'const clock = Date; clock.now();', /uses Date\.\*/],
    ['src/base/a.ts', 'const { random } = Math;', /uses Math\.\*/],
    ['src/base/a.ts', 'const t = Date(0);', /uses Date\.now/],
    ['src/base/a.ts', 'AbortSignal.timeout(1);', /uses AbortSignal\.timeout: wait on the clock door/],
    ['src/base/a.ts', 'function f(process: P) { return process; } const e = process.env;', /uses process: /],
    ['src/base/a.ts', 'try { f(); } catch (process) { f(process); } process.exit();', /uses process: /],
    ['src/pageserver/a.ts', 'setTimeout(f, 1);', /uses setTimeout: wait on the clock door/],
    ['src/pageserver/a.ts', 'const f = setTimeout;', /uses setTimeout/],
    ['src/pageserver/a.ts', 'await fetch(url);', /uses fetch/],
    ['src/redo/a.ts', 'new WebAssembly.Module(b);', /uses WebAssembly/],
    ['src/redo/a.ts', 'const v = new Map([[Date.now(), 1]]);', /uses Date\.now/],
  ];
  test.each(refused)('%s: %s', (path, text, reason) => {
    expect(problemOf(path, text)).toMatch(reason);
  });

  const allowed: [path: string, text: string][] = [
    ['src/io/node/clock.ts', `import { setTimeout } from 'node:timers/promises'; Date.now(); process.env;`],
    ['src/cli/main.ts', `import { openSync } from 'node:fs'; process.argv; setTimeout(f, 1);`],
    [
      'src/postgres/a.ts',
      `import { zstdDecompressSync } from 'node:zlib'; import { createHmac } from 'node:crypto';`,
    ],
    ['src/postgres/a.ts', 'new WebAssembly.Module(b);'],
    ['src/safekeeper/a.ts', `import { join } from 'node:path';`],
    ['src/base/a.ts', 'const t = new Date(0); Date.parse(s); Math.max(1, 2); t instanceof Date;'],
    ['src/base/a.ts', 'function fetch() {} function f() { return fetch; } let d: Date; export { fetch };'],
    ['src/base/a.ts', 'const f = (process: P) => { g(() => process.env); };'],
    ['src/base/a.ts', 'door.setTimeout(1); const x = { process: 1, fetch() {} }; x.process;'],
    ['src/base/a.ts', 'class A { fetch() {} process = 1; }'],
    ['src/base/a.ts', 'for (const process of processes) process.kill();'],
    ['src/base/a.ts', 'function f({ fetch, ...rest }: Doors, [crypto] = x) { return fetch(crypto); }'],
    ['src/base/a.ts', 'let m: WeakMap<process.Thing, typeof x>; // Date.now()'],
    ['src/base/a.test.ts', `import { openSync } from 'node:fs'; Date.now();`],
    ['test/a.ts', 'Date.now(); process.env;'],
  ];
  test.each(allowed)('%s may: %s', (path, text) => {
    expect(verify({ [path]: text })).toEqual([]);
  });

  test('a file that does not parse is a problem, not a file without imports', () => {
    const problems = verify({ 'src/base/a.ts': 'import {' });
    expect(problems[0]).toMatch(/^src\/base\/a\.ts: does not parse: /);
  });
});
