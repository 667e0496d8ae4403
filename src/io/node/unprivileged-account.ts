import { lchownSync, readdirSync, readFileSync } from 'node:fs';
import { chown } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { VarveError } from '../../base/errors.ts';

/** Who owns the server's files and runs its processes. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** True if this process is root and has to become the account by `spawn`'s uid and gid. */
  readonly isOther: boolean;
  /**
   * True if the password file knows the uid. initdb asks for the user's name and fails without one; `postgres`
   * does not.
   */
  readonly hasName: boolean;
}

interface PasswordEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

const fail = (reason: string): VarveError => new VarveError('precondition', 'NO_ACCOUNT', reason);

/** Accounts to prefer, since they are meant to own nothing. */
const PREFERRED_NAMES = ['nobody', 'postgres', 'daemon'];

function readPasswordFile(path: string): PasswordEntry[] {
  const entries: PasswordEntry[] = [];
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const [name, , uid, gid] = line.split(':');
    if (name === undefined || !/^\d+$/.test(uid ?? '') || !/^\d+$/.test(gid ?? '')) continue;
    entries.push({ name, uid: Number(uid), gid: Number(gid) });
  }
  return entries;
}

function rank(entry: PasswordEntry): number {
  const preferred = PREFERRED_NAMES.indexOf(entry.name);
  return preferred === -1 ? PREFERRED_NAMES.length : preferred;
}

/**
 * The account that PostgreSQL shall run under, since it refuses uid 0: this process's own, or for root an account
 * of the password file that is not root, `nobody` first.
 *
 * Throws if this process is root and the password file has nobody else: then no server may be started here.
 */
export function findAccount(passwordFile = '/etc/passwd'): Account {
  const uid = process.getuid?.();
  const gid = process.getgid?.();
  if (uid === undefined || gid === undefined) throw fail('this platform has no user ids');
  const entries = readPasswordFile(passwordFile);
  if (uid !== 0) return { uid, gid, isOther: false, hasName: entries.some((entry) => entry.uid === uid) };
  const candidates = entries.filter((entry) => entry.uid !== 0 && entry.gid !== 0);
  candidates.sort((a, b) => rank(a) - rank(b) || a.uid - b.uid);
  const chosen = candidates[0];
  if (chosen === undefined) {
    throw fail(`PostgreSQL does not run as root, and ${passwordFile} names no other account to run it as`);
  }
  return { uid: chosen.uid, gid: chosen.gid, isOther: true, hasName: true };
}

/** A named account other than root, for programs that must see one (initdb, inside a user namespace). */
export function findNamedUid(passwordFile = '/etc/passwd'): number {
  const entry = readPasswordFile(passwordFile)
    .filter((candidate) => candidate.uid !== 0)
    .sort((a, b) => rank(a) - rank(b))[0];
  if (entry === undefined) throw fail(`${passwordFile} names no account but root`);
  return entry.uid;
}

/** The part of `spawn`'s options that makes a child run as the account. */
export function spawnIdentity(account: Account): { uid?: number; gid?: number } {
  return account.isOther ? { uid: account.uid, gid: account.gid } : {};
}

/** Between two looks at what else there is to do: some 2 µs each. */
const GIVEN_AT_ONCE = 256;

/** Gives a path, and with `recursive` all that is below it, to the account. Symbolic links are not followed. */
export async function giveTo(account: Account, path: string, recursive = false): Promise<void> {
  if (!account.isOther) return;
  await chown(path, account.uid, account.gid);
  if (recursive) await giveAllBelow(account, path);
}

/** Call by call in this thread: ten times as fast as to hand each over to another one. */
async function giveAllBelow({ uid, gid }: Account, top: string): Promise<void> {
  const directories = [top];
  let given = 0;
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      lchownSync(path, uid, gid);
      if (entry.isDirectory()) directories.push(path);
      if (++given % GIVEN_AT_ONCE === 0) await nextTurn();
    }
  }
}
