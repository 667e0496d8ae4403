// Checks the directions of imports, import cycles, and what may touch the world: tools/imports/rules.ts.
import { scanSource } from './imports/scan.ts';
import { verifyImports } from './imports/verify.ts';
import { listFiles, readText } from './source-files.ts';

const sources = listFiles('src', 'test', 'sim', 'bench', 'fuzz', 'tools').filter((path) =>
  path.endsWith('.ts'),
);
const problems = verifyImports(sources.map((path) => scanSource(path, readText(path))));
for (const problem of problems) console.error(problem);
console.log(`${sources.length} files, ${problems.length} problems`);
if (problems.length > 0) process.exitCode = 1;
