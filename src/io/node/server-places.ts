import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VarveError } from '../../base/errors.ts';
import { translate } from './file-errors.ts';
import { isTraversable } from './postgres-binaries.ts';
import { findAccount } from './unprivileged-account.ts';

const NAME_DIGITS = 12;

/** Whether the account that servers run as can get to what is below a directory. */
export async function isReachableByServers(directory: string): Promise<boolean> {
  return !findAccount().isOther || (await isTraversable(directory));
}

/** Makes a directory that nobody else can enter. It may be there already. */
export async function makePrivateDirectory(path: string): Promise<void> {
  await translate(path, async () => {
    await mkdir(path, { recursive: true });
    await chmod(path, 0o700);
  });
}

/**
 * Makes a directory of our own, which nobody else can enter; where servers run as another account, that one (and thus
 * everybody) can get through it to what is the account's, and see nothing. It may be there already.
 */
export async function makeOwnDirectory(path: string): Promise<void> {
  await translate(path, async () => {
    await mkdir(path, { recursive: true });
    await chmod(path, findAccount().isOther ? 0o711 : 0o700);
  });
}

/**
 * Makes a directory for what servers keep of no worth: the one that is wanted, or one of the machine's for what is temporary,
 * where servers cannot get to that one, or where its name leaves no room for that of a socket below it.
 * @param pathBytesMax of the name
 * @throws VarveError ‘precondition’ / UNREACHABLE_DIRECTORY where there is none
 */
export async function makeServersDirectory(wanted: string, pathBytesMax: number): Promise<string> {
  if (Buffer.byteLength(wanted) <= pathBytesMax) {
    await makeOwnDirectory(wanted);
    if (await isReachableByServers(wanted)) return wanted;
  }
  const uid = process.getuid?.() ?? 0;
  const name = `varve-${uid}-${createHash('sha256').update(wanted).digest('hex').slice(0, NAME_DIGITS)}`;
  for (const base of new Set([tmpdir(), '/var/tmp', '/tmp'])) {
    const path = join(base, name);
    if (Buffer.byteLength(path) > pathBytesMax || !(await isReachableByServers(base))) continue;
    await makeOwnDirectory(path);
    const found = await lstat(path);
    // The name can be foreseen: whatever lies there already counts only if it is ours.
    if (found.isDirectory() && found.uid === uid) return path;
  }
  const reason = 'PostgreSQL’s account can get neither there nor to any directory for temporary files';
  throw new VarveError('precondition', 'UNREACHABLE_DIRECTORY', reason, { file: wanted });
}
