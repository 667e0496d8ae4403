import { isBuiltin } from 'node:module';
import { posix } from 'node:path';
import { findCycles } from './cycles.ts';
import {
  BUILTINS_BY_PART,
  DOOR_FOLDERS,
  GLOBAL_RULES,
  IMPURE_EXPORTS,
  isComposer,
  isUnitTest,
  LOADERS,
  OUTSIDE,
  PARTS,
  PURE_BUILTINS,
  REAL_DOORS,
  STARTERS,
} from './rules.ts';
import type { GlobalUse, Import, ScannedFile } from './scan.ts';

const isIn = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);
const isInOneOf = (path: string, folders: readonly string[]): boolean =>
  folders.some((folder) => isIn(path, folder));

const partOf = (path: string) =>
  PARTS.filter(({ folder }) => isIn(path, folder)).sort((a, b) => b.folder.length - a.folder.length)[0];

/** Checks scanned files against the rules. Returns a message for each violation: `file:line: what: why`. */
export function verifyImports(files: readonly ScannedFile[]): string[] {
  const problems: string[] = [];
  const graph = new Map<string, string[]>();
  for (const file of files) {
    for (const error of file.syntaxErrors) problems.push(`${file.path}: does not parse: ${error}`);
    const targets: string[] = [];
    for (const found of file.imports) {
      if (found.target?.startsWith('.')) targets.push(resolve(file.path, found.target));
      const problem = verifyImport(file.path, found);
      if (problem !== undefined) problems.push(`${file.path}:${found.line}: ${problem}`);
    }
    graph.set(file.path, targets);
    for (const problem of verifyGlobals(file)) problems.push(problem);
  }
  for (const cycle of findCycles(graph)) {
    problems.push(
      `${cycle[0]}: imports itself through ${[...cycle.slice(1), cycle[0]].join(' → ')}: ` +
        'files in a cycle can only be understood, tested and moved together',
    );
  }
  return problems;
}

const resolve = (from: string, target: string): string => posix.join(posix.dirname(from), target);

function verifyImport(path: string, found: Import): string | undefined {
  if (found.target !== undefined && isUnitTest(found.target)) {
    return `imports ${found.target}: nothing imports a test; what two tests share lies in test/support`;
  }
  if (!isIn(path, 'src') || isUnitTest(path)) return undefined;
  if (found.target === undefined) {
    if (LOADERS.includes(path)) return undefined;
    return 'imports what an expression gives: the import rules can be checked only where a name in quotes is imported';
  }
  if (found.target.startsWith('.')) return verifySource(path, resolve(path, found.target));
  if (isBuiltin(found.target)) return verifyBuiltin(path, found.target, found.names);
  return verifyPackage(path, found.target);
}

function verifySource(path: string, target: string): string | undefined {
  const outside = OUTSIDE.find((folder) => isIn(target, folder));
  if (outside !== undefined)
    return `imports ${target}: nothing imports ${outside}/, which is not in the product`;
  if (!isIn(target, 'src')) return `imports ${target}: only what lies in src is in the product`;

  const realDoor = REAL_DOORS.find((folder) => isIn(target, folder) && !isIn(path, folder));
  if (realDoor !== undefined) {
    if (isComposer(path)) return undefined;
    return `imports ${target}: only a main.ts picks ${realDoor}, so that the rest runs on simulated doors as well`;
  }
  if (isComposer(target) && isInOneOf(path, STARTERS)) return undefined;
  if (path === 'src/index.ts') {
    const isPublic = isInOneOf(target, ['src/contracts', 'src/io', 'src/base']);
    return isPublic
      ? undefined
      : `imports ${target}: the library starts services and speaks their contracts, no more`;
  }

  const own = partOf(path);
  const other = partOf(target);
  if (own === undefined) return unknownFolder(path);
  if (other === undefined) return unknownFolder(target);
  if (own === other || own.may.includes(other.folder)) return undefined;
  const allowed =
    own.may.length === 0 ? 'nothing outside of itself' : `only ${own.may.map(short).join(', ')}`;
  return `imports ${target}: ${short(own.folder)} may import ${allowed}: ${own.because}`;
}

const short = (folder: string): string => folder.replace(/^src\//, '');

const unknownFolder = (path: string): string =>
  `${path} lies in no folder that tools/imports/rules.ts knows: give it a line there that says what it may import, and why`;

function verifyBuiltin(path: string, target: string, names: readonly string[]): string | undefined {
  const name = target.startsWith('node:') ? target : `node:${target}`;
  if (isInOneOf(path, DOOR_FOLDERS) || isComposer(path)) return undefined;
  const allowedIn = BUILTINS_BY_PART[name] ?? [];
  if (!PURE_BUILTINS.includes(name) && !isInOneOf(path, allowedIn)) {
    const beside = allowedIn.length === 0 ? '' : ` (and ${allowedIn.join(', ')})`;
    return `imports ${name}: only src/io/node${beside} and a main.ts may: all else goes through the doors of src/io`;
  }
  const impureExports = IMPURE_EXPORTS[name];
  if (impureExports === undefined) return undefined;
  if (names.some((taken) => taken === '*' || taken === 'default')) {
    return `imports all of ${name}: take what you need by name, since a part of it is not pure`;
  }
  const impure = names.find((taken) => impureExports.includes(taken));
  if (impure === undefined) return undefined;
  return `imports ${impure} of ${name}: randomness comes through its door (src/io/random.ts), or a seed cannot replay it`;
}

function verifyPackage(path: string, target: string): string | undefined {
  const own = partOf(path);
  if (own === undefined || own.packages === true) return undefined;
  const allowed = own.packages === false ? [] : own.packages;
  if (allowed.includes(target)) return undefined;
  const most = allowed.length === 0 ? 'no package' : `no package but ${allowed.join(', ')}`;
  return `imports the package ${target}: ${short(own.folder)} stands on ${most}: ${own.because}`;
}

function verifyGlobals(file: ScannedFile): string[] {
  const { path } = file;
  const isExempt =
    !isIn(path, 'src') || isUnitTest(path) || isComposer(path) || isInOneOf(path, DOOR_FOLDERS);
  if (isExempt) return [];
  const problems: string[] = [];
  for (const use of file.globals) {
    const rule = ruleOf(use);
    if (rule === undefined || isInOneOf(path, rule.allowedIn)) continue;
    problems.push(`${path}:${use.line}: uses ${use.name}: ${rule.instead}`);
  }
  return problems;
}

const ruleOf = (use: GlobalUse) => GLOBAL_RULES.find((rule) => rule.names.includes(use.name));
