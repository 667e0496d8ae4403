// Runs every check of the sources, all of them even if one fails, and prints a summary.
// With arguments, only the checks of those names.
import { spawn } from 'node:child_process';
import { REPOSITORY_ROOT } from './source-files.ts';

interface Check {
  readonly name: string;
  readonly command: readonly string[];
}

interface Result {
  readonly check: Check;
  readonly isPassed: boolean;
  readonly output: string;
  readonly seconds: number;
}

const CHECKS: readonly Check[] = [
  { name: 'types', command: ['tsc', '--project', 'tsconfig.json'] },
  { name: 'build-types', command: ['tsc', '--project', 'tsconfig.build.json', '--noEmit'] },
  { name: 'lint', command: ['biome', 'check', '--no-errors-on-unmatched', '--max-diagnostics=50', '.'] },
  { name: 'promises', command: ['oxlint', '--type-aware'] },
  { name: 'imports', command: ['node', 'tools/check-imports.ts'] },
  { name: 'tidy', command: ['node', 'tools/check-tidy.ts'] },
  { name: 'unused', command: ['knip', '--no-progress', '--no-config-hints'] },
  { name: 'wasm', command: ['node', 'tools/build-wasm.ts', '--check'] },
  { name: 'shim', command: ['node', 'tools/build-shim.ts', '--check'] },
];

const AT_ONCE = 2;

const environment = {
  ...process.env,
  PATH: `${REPOSITORY_ROOT}node_modules/.bin:${process.env['PATH'] ?? ''}`,
};

function run(check: Check): Promise<Result> {
  const startMs = performance.now();
  const [program = '', ...args] = check.command;
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: REPOSITORY_ROOT,
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const collect = (chunk: Buffer): void => {
      output += chunk.toString();
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    const finish = (isPassed: boolean): void => {
      resolve({ check, isPassed, output, seconds: (performance.now() - startMs) / 1000 });
    };
    child.on('error', (error) => {
      output += `${program} cannot be run: ${error.message}\n`;
      finish(false);
    });
    child.on('close', (code) => finish(code === 0));
  });
}

async function runAll(checks: readonly Check[]): Promise<Result[]> {
  const results: Result[] = [];
  const waiting = [...checks];
  const worker = async (): Promise<void> => {
    for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) {
      const result = await run(check);
      results.push(result);
      if (!result.isPassed)
        console.log(`── ${check.name}: ${check.command.join(' ')}\n${result.output.trimEnd()}\n`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !CHECKS.some((check) => check.name === name));
if (unknown.length > 0) {
  console.error(
    `no check is named ${unknown.join(', ')}; there are ${CHECKS.map(({ name }) => name).join(', ')}`,
  );
  process.exit(2);
}
const results = await runAll(CHECKS.filter(({ name }) => wanted.length === 0 || wanted.includes(name)));
const failed = results.filter(({ isPassed }) => !isPassed);
for (const { check, isPassed, seconds } of results) {
  console.log(`${isPassed ? 'ok    ' : 'FAILED'}  ${check.name.padEnd(12)} ${seconds.toFixed(1)} s`);
}
console.log(`${results.length - failed.length} checks passed, ${failed.length} failed`);
if (failed.length > 0) process.exitCode = 1;
