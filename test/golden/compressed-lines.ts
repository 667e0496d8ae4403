import { readFileSync, writeFileSync } from 'node:fs';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';

const COMPRESSION_LEVEL = 19;

/** Writes values as lines of JSON, compressed. */
export function writeLines(path: URL | string, values: readonly unknown[]): void {
  const text = `${values.map((value) => JSON.stringify(value)).join('\n')}\n`;
  const params = { [constants.ZSTD_c_compressionLevel]: COMPRESSION_LEVEL };
  writeFileSync(path, zstdCompressSync(Buffer.from(text), { params }));
}

/** Reads what writeLines wrote; the caller knows of what type the values are. */
export function readLines(path: URL | string): unknown[] {
  const text = zstdDecompressSync(readFileSync(path)).toString();
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
}

export const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
export const fromBase64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));
