import { chown, copyFile, mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { translate } from './file-errors.ts';
import { type Account, findAccount } from './unprivileged-account.ts';

/** Syncs of several files share what the disk does for them. */
const AT_ONCE = 16;

/**
 * Copies a directory, with all that is below it, to one that is not there yet. The copy belongs to the account that servers
 * run as, which alone may read it, and is durable when this resolves, but for its own name in the directory above.
 */
export async function copyTreeForServer(from: string, to: string): Promise<void> {
  const account = findAccount();
  await translate(to, async () => {
    const files: [from: string, to: string][] = [];
    const directories = [to];
    await mkdir(to, { mode: 0o700 });
    for (const entry of await readdir(from, { recursive: true, withFileTypes: true })) {
      const source = join(entry.parentPath, entry.name);
      const target = join(to, source.slice(from.length));
      if (!entry.isDirectory()) files.push([source, target]);
      else {
        directories.push(target);
        await mkdir(target, { mode: 0o700, recursive: true });
      }
    }
    const waiting = files.values();
    const work = async (): Promise<void> => {
      for (const [source, target] of waiting) await copyDurably(source, target, account);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    for (const directory of directories.reverse()) await sync(directory, account);
  });
}

async function copyDurably(source: string, target: string, account: Account): Promise<void> {
  await copyFile(source, target);
  await sync(target, account);
}

async function sync(path: string, { isOther, uid, gid }: Account): Promise<void> {
  if (isOther) await chown(path, uid, gid);
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
