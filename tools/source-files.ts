import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root, with a slash at its end. */
export const REPOSITORY_ROOT = fileURLToPath(new URL('../', import.meta.url));

const NOT_OURS = new Set(['node_modules', 'dist', '.git']);

/**
 * All files below the given folders or files of the repository, as paths from its root with `/`, sorted.
 * A folder that does not exist has no files.
 */
export function listFiles(...paths: readonly string[]): string[] {
  const found: string[] = [];
  for (const path of paths) {
    if (!existsSync(join(REPOSITORY_ROOT, path))) continue;
    walk(path, found);
  }
  return found.sort();
}

function walk(path: string, found: string[]): void {
  const absolute = join(REPOSITORY_ROOT, path);
  let entries: ReturnType<typeof readEntries>;
  try {
    entries = readEntries(absolute);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTDIR') throw error;
    found.push(path);
    return;
  }
  for (const entry of entries) {
    if (NOT_OURS.has(entry.name)) continue;
    const child = `${path}/${entry.name}`;
    if (entry.isDirectory()) walk(child, found);
    else if (entry.isFile()) found.push(child);
  }
}

function readEntries(absolute: string) {
  return readdirSync(absolute, { withFileTypes: true });
}

/** The text of a file of the repository, given as a path from its root. */
export function readText(path: string): string {
  return readFileSync(join(REPOSITORY_ROOT, path), 'utf8');
}
