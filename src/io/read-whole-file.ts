import type { Files } from './files.ts';

/** All bytes of a file that nobody writes to meanwhile. @throws as Files.open, and what reading fails of */
export async function readWholeFile(files: Files, path: string): Promise<Uint8Array> {
  await using file = await files.open(path);
  const bytes = new Uint8Array(file.sizeBytes);
  const length = await file.read(bytes, 0, bytes.length, 0);
  return bytes.subarray(0, length);
}
