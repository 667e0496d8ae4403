import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isTraversable } from '../../src/io/node/postgres-binaries.ts';
import { type Account, findNamedUid, giveTo, spawnIdentity } from '../../src/io/node/unprivileged-account.ts';
import { ProcessGuard } from './process-guard.ts';

/** The superuser's name and its password over TCP. The Unix socket lies in a private directory and asks for none. */
export const SUPERUSER = 'postgres';
export const SUPERUSER_PASSWORD = randomBytes(18).toString('base64url');

const templates = new Map<string, Promise<string>>();

/** Runs a program to its end; throws with what it printed if it fails. */
export async function run(
  file: string,
  parameters: readonly string[],
  options: { uid?: number; gid?: number; cwd?: string; environment?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  const { environment, ...rest } = options;
  const child = spawn(file, parameters, {
    ...rest,
    cwd: options.cwd ?? '/',
    env: environment ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const status = await new Promise<number | string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signalName) => resolve(code ?? signalName ?? 'unknown'));
  });
  if (status !== 0) throw new Error(`${file} ended with ${status}: ${output.trim()}`);
  return output;
}

/** Makes a temporary directory that the account can pass through, below `parent` or a usable default. */
export async function makeRootDirectory(account: Account, parent?: string): Promise<string> {
  const candidates = parent === undefined ? [tmpdir(), '/tmp', '/var/tmp'] : [parent];
  for (const candidate of candidates) {
    if (account.isOther && !(await isTraversable(candidate))) continue;
    const root = await mkdtemp(join(candidate, 'varve-postgres-'));
    await chmod(root, account.isOther ? 0o711 : 0o700);
    return root;
  }
  throw new Error(`uid ${account.uid} cannot pass through ${candidates.join(' or ')}`);
}

/** The environment of the server's programs: none of the caller's PostgreSQL settings or language. */
export function serverEnvironment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (!/^(PG|LC_|LANG)/.test(name)) environment[name] = value;
  }
  return { ...environment, LC_ALL: 'C', TZ: 'UTC', ...extra };
}

async function initialize(
  binDirectory: string,
  account: Account,
  parameters: readonly string[],
): Promise<string> {
  const root = await makeRootDirectory(account);
  // Nobody else is left to remove it: a test runner may kill its workers, and then no handler of theirs runs.
  new ProcessGuard(root);
  const data = join(root, 'data');
  const passwordFile = join(root, 'password');
  await writeFile(passwordFile, `${SUPERUSER_PASSWORD}\n`, { mode: 0o600 });
  await giveTo(account, passwordFile);
  await giveTo(account, root);
  const command = [
    join(binDirectory, 'initdb'),
    ...[
      '-D',
      data,
      '-U',
      SUPERUSER,
      '--auth-local=trust',
      '--auth-host=scram-sha-256',
      `--pwfile=${passwordFile}`,
    ],
    ...['--encoding=UTF8', '--locale=C', '--no-sync', '--no-instructions', ...parameters],
  ];
  if (!account.hasName) {
    // initdb wants a name for its uid. Inside a user namespace the uid looks like one that has a name; the files
    // belong to the real one.
    const uid = findNamedUid();
    command.unshift('unshare', '--user', `--map-user=${uid}`, `--map-group=${account.gid}`);
  }
  await run(command[0] as string, command.slice(1), {
    ...spawnIdentity(account),
    cwd: root,
    environment: serverEnvironment(),
  });
  return data;
}

/**
 * A data directory as initdb leaves it, made once per process for each choice of programs and arguments: copy it,
 * never start it. Removed when the process ends. All copies have the same system identifier.
 */
export function templateDirectory(
  binDirectory: string,
  account: Account,
  parameters: readonly string[],
): Promise<string> {
  const key = JSON.stringify([binDirectory, account.uid, parameters]);
  let template = templates.get(key);
  if (template === undefined) {
    template = initialize(binDirectory, account, parameters);
    templates.set(key, template);
  }
  return template;
}

/** A data directory of its own with a system identifier of its own. Slower than a copy of the template. */
export function freshDirectory(
  binDirectory: string,
  account: Account,
  parameters: readonly string[],
): Promise<string> {
  return initialize(binDirectory, account, parameters);
}

/** Copies a directory with its owners, modes, times and links, sharing blocks where the file system can. */
export async function copyDirectory(from: string, to: string): Promise<void> {
  await run('cp', ['-a', '--reflink=auto', '--', from, to]);
}
