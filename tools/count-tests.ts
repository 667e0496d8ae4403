// Prints the last line of .ci/run from the file that vitest's JSON reporter has written.
import { readFileSync } from 'node:fs';
import { summarize } from './count-tests/summarize.ts';

const path = process.argv[2];
if (path === undefined) throw new Error('the file of the JSON reporter is missing');
const { line, isPassed } = summarize(readFileSync(path, 'utf8'));
console.log(line);
if (!isPassed) process.exitCode = 1;
