import { createHash } from 'node:crypto';

/** SHA-256 of named contents, in hexadecimal digits: the same for the same names and contents in the same order. */
export function hashFiles(files: Iterable<readonly [name: string, content: Uint8Array]>): string {
  const hash = createHash('sha256');
  for (const [name, content] of files) hash.update(`${name}\n${content.length}\n`).update(content);
  return hash.digest('hex');
}
