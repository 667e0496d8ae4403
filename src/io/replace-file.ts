import type { Files } from './files.ts';

/** What a file is called while it is written. */
export const TEMPORARY_SUFFIX = '.temporary';

/**
 * Gives a file new content, whole or not at all: after a crash at any moment there is the old content or the new one.
 * On return the new content is durable. This is the one way in which state files are written.
 *
 * A left-over of an earlier crash under the temporary name is overwritten. Two calls for one path must not overlap.
 *
 * @param directory where the file is; it must exist
 * @param name the file's name within it
 */
export async function replaceFile(
  files: Files,
  directory: string,
  name: string,
  content: Uint8Array,
): Promise<void> {
  const path = `${directory}/${name}`;
  const temporaryPath = path + TEMPORARY_SUFFIX;
  await using file = await files.openForUpdate(temporaryPath);
  await file.resize(0);
  await file.write(content, 0, content.length, 0);
  await file.sync();
  await file.close();
  await files.rename(temporaryPath, path);
  await files.syncDirectory(directory);
}
