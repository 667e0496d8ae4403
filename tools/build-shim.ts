// Builds the shim of shim/ for this machine into shim/prebuilt/<platform>/, with the hashes of its sources and of the
// result beside it. With --check it fails if those are not of the sources as they are; and where there is a compiler,
// it builds them anew and compares what both export and need.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  hashShimSources,
  readShimSources,
  SHIM_COMPILER,
  SHIM_COMPILER_ARGUMENTS,
  SHIM_NAME,
} from '../src/compute/lazy/find-shim.ts';
import { nodeFiles } from '../src/io/node/files.ts';
import { readDynamicSymbols } from './shim/dynamic-symbols.ts';
import { REPOSITORY_ROOT } from './source-files.ts';

const SOURCES = join(REPOSITORY_ROOT, 'shim');
const PREBUILT = join(SOURCES, 'prebuilt');
const PLATFORM = `${process.platform}-${process.arch}`;
const HASHES_NAME = 'varve_shim.sha256';
/** Nothing later is needed of glibc, so that it runs where the packaged server does. */
const GLIBC_MAX = [2, 17];

const sourceHash = hashShimSources(await readShimSources(nodeFiles, SOURCES));
const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const hashesFor = (bytes: Uint8Array): string => `${sourceHash}  sources\n${hashOf(bytes)}  ${SHIM_NAME}\n`;

/** undefined without a compiler. */
function compile(): Uint8Array | undefined {
  const directory = mkdtempSync(join(tmpdir(), 'varve-shim-'));
  try {
    const target = join(directory, SHIM_NAME);
    const sources = readdirSync(SOURCES).filter((name) => name.endsWith('.c'));
    const strict = ['-Wall', '-Wextra', '-Werror', '-s', '-Wl,--build-id=none'];
    const parameters = [...SHIM_COMPILER_ARGUMENTS, ...strict, '-o', target, ...sources];
    const { error, status, stderr } = spawnSync(SHIM_COMPILER, parameters, {
      cwd: SOURCES,
      encoding: 'utf8',
    });
    if (error !== undefined && 'code' in error && error.code === 'ENOENT') return undefined;
    if (error !== undefined) throw error;
    if (status !== 0) throw new Error(`the shim does not compile:\n${stderr}`);
    return readFileSync(target);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function findNewerNeeds(needed: readonly string[]): string[] {
  return needed.filter((symbol) => {
    const version = /@GLIBC_(\d+)\.(\d+)/.exec(symbol);
    if (version === null) return false;
    const [major, minor] = [Number(version[1]), Number(version[2])];
    return major > (GLIBC_MAX[0] as number) || (major === GLIBC_MAX[0] && minor > (GLIBC_MAX[1] as number));
  });
}

function check(): string[] {
  const problems: string[] = [];
  for (const platform of existsSync(PREBUILT) ? readdirSync(PREBUILT) : []) {
    const bytes = readFileSync(join(PREBUILT, platform, SHIM_NAME));
    if (readFileSync(join(PREBUILT, platform, HASHES_NAME), 'utf8') !== hashesFor(bytes))
      problems.push(`shim/prebuilt/${platform} is not made of shim/ as it is: run tools/build-shim.ts there`);
    const { needed } = readDynamicSymbols(bytes);
    for (const symbol of findNewerNeeds(needed))
      problems.push(`shim/prebuilt/${platform} needs ${symbol}, which older systems do not have`);
  }
  const path = join(PREBUILT, PLATFORM, SHIM_NAME);
  const built = compile();
  if (built === undefined) console.log(`there is no ${SHIM_COMPILER}: nothing was built`);
  else if (!existsSync(path)) console.log(`nothing is prebuilt for ${PLATFORM}`);
  else {
    const before = readDynamicSymbols(readFileSync(path));
    const now = readDynamicSymbols(built);
    for (const part of ['exported', 'needed'] as const) {
      if (before[part].join() !== now[part].join())
        problems.push(`shim/prebuilt/${PLATFORM} has other symbols ${part} than what is built of shim/`);
    }
  }
  return problems;
}

if (process.argv.includes('--check')) {
  const problems = check();
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
} else {
  const bytes = compile();
  if (bytes === undefined) throw new Error(`there is no ${SHIM_COMPILER}`);
  const directory = join(PREBUILT, PLATFORM);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, SHIM_NAME), bytes);
  writeFileSync(join(directory, HASHES_NAME), hashesFor(bytes));
  console.log(`${join(directory, SHIM_NAME)}: ${bytes.length} bytes`);
}
