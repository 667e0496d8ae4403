// Checks what the linter cannot: length of files, unfinished work, one way to write state files, links in the documentation, and that the walks
// through the code (docs/follow) name what exists.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { scanSource } from './imports/scan.ts';
import { listFiles, REPOSITORY_ROOT, readText } from './source-files.ts';
import { LINES_MAX, LONG_FILES } from './tidy/long-files.ts';
import {
  findDeadLinks,
  findLongFiles,
  findStaleNames,
  findStateWrites,
  findUnfinished,
  type TextFile,
} from './tidy/rules.ts';
import { STATE_KEEPERS, STATE_WRITERS } from './tidy/state-writers.ts';

const TEXT = /\.(ts|c|h|js|sh|md)$/;
const FOLDERS = ['src', 'test', 'sim', 'bench', 'fuzz', 'tools', 'types', 'wasm', 'native', 'bin', 'docs'];
const PAGES = ['README.md', 'ARCHITECTURE.md', 'CHANGELOG.md', 'STYLE.md', 'CONTRIBUTING.md', 'SECURITY.md'];

const exists = (path: string): boolean => existsSync(join(REPOSITORY_ROOT, path));
const files: TextFile[] = listFiles(...FOLDERS, ...PAGES)
  .filter((path) => TEXT.test(path))
  .map((path) => ({ path, text: readText(path) }));

const namesIn = (path: string): ReadonlySet<string> => new Set(scanSource(path, readText(path)).declared);

const problems = [
  ...findLongFiles(
    files.filter(({ path }) => path.startsWith('src/') && !path.endsWith('.test.ts')),
    LINES_MAX,
    LONG_FILES,
  ),
  ...findStateWrites(files, STATE_KEEPERS, STATE_WRITERS),
  ...files.flatMap(findUnfinished),
  // A test of the rules holds dead links on purpose.
  ...files
    .filter(({ path }) => !path.startsWith('tools/tidy/'))
    .flatMap((file) => findDeadLinks(file, exists, readText)),
  ...files
    .filter(({ path }) => path.startsWith('docs/follow/'))
    .flatMap((page) => findStaleNames(page, exists, namesIn)),
];
for (const problem of problems) console.error(problem);
console.log(`${files.length} files, ${problems.length} problems`);
if (problems.length > 0) process.exitCode = 1;
