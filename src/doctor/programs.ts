import { type Finding, fail, ok, warn } from './finding.ts';

const NODE_MAJOR = 24;
const PLATFORMS = ['linux-x64', 'linux-arm64'];

export function judgeNode(version: string): Finding {
  const major = Number(/^v(\d+)\./.exec(version)?.[1] ?? 0);
  if (major >= NODE_MAJOR) return ok('node', `Node.js ${version}`);
  return fail(
    'node',
    `Node.js ${version} is too old`,
    `install Node.js ${NODE_MAJOR}, or run ‘npm ci’ without --omit=optional, which brings it`,
  );
}

export function judgePlatform(platform: string): Finding {
  if (PLATFORMS.includes(platform)) return ok('platform', platform);
  return warn(
    'platform',
    `${platform}: there is no PostgreSQL among the packages for it, and no prebuilt shim`,
    `use ${PLATFORMS.join(' or ')}, or give PostgreSQL’s programs with --pg-bin`,
  );
}

export interface ProgramsFacts {
  /** What runs; or why nothing does. */
  readonly found:
    | { readonly binDirectory: string; readonly major: number; readonly missing: readonly string[] }
    | { readonly error: string };
  readonly wantedMajor: number;
  readonly isDirectoryGiven: boolean;
}

export function judgePrograms({ found, wantedMajor, isDirectoryGiven }: ProgramsFacts): Finding {
  const check = 'postgres';
  const install = isDirectoryGiven
    ? 'give the directory with --pg-bin that holds postgres and initdb, as ‘pg_config --bindir’ prints it'
    : 'run ‘npm ci’ without --omit=optional, or give a directory with PostgreSQL’s programs with --pg-bin';
  if ('error' in found) return fail(check, `PostgreSQL’s programs do not run: ${found.error}`, install);
  const { binDirectory, major, missing } = found;
  if (missing.length > 0) return fail(check, `${binDirectory} lacks ${missing.join(', ')}`, install);
  if (major === wantedMajor) return ok(check, `PostgreSQL ${major} in ${binDirectory}`);
  const fix = `give PostgreSQL ${wantedMajor} with --pg-bin; for a new system, say --pg ${major}`;
  return fail(check, `${binDirectory} has PostgreSQL ${major}, and ${wantedMajor} is wanted`, fix);
}

export interface ShimFacts {
  /** undefined: there is none. */
  readonly kind: 'prebuilt' | 'built' | undefined;
  readonly hasCompiler: boolean;
  /** What the dynamic loader says against it; empty: nothing, or it was not asked. */
  readonly complaint: string;
}

export function judgeShim({ kind, hasCompiler, complaint }: ShimFacts): Finding {
  const check = 'shim';
  if (kind === undefined) {
    return warn(
      check,
      'there is none for this machine, and it could not be built: each start brings all pages first',
      hasCompiler
        ? 'see what ‘cc’ says of the files in the package’s folder shim/'
        : 'install a C compiler (‘cc’) with the C library’s headers: the next start builds it',
    );
  }
  if (complaint === '') return ok(check, kind === 'prebuilt' ? 'prebuilt' : 'built on this machine');
  return fail(
    check,
    `PostgreSQL cannot load it: ${complaint}`,
    'use a Linux with glibc, or remove the folder shim/prebuilt and have ‘cc’, so that it is built here',
  );
}

export interface AccountFacts {
  readonly uid: number;
  /** Whom servers run as; or why there is nobody. */
  readonly server:
    | { readonly uid: number; readonly isOther: boolean; readonly hasName: boolean }
    | { readonly error: string };
  /** Why no user namespace can be made; undefined: it can, or is not needed. */
  readonly namespaceFault: string | undefined;
}

/** initdb asks for its user's name: where there is none, it is run in a user namespace, in which there is one. */
export function judgeAccount({ uid, server, namespaceFault }: AccountFacts): Finding {
  const check = 'account';
  if ('error' in server) {
    return fail(
      check,
      server.error,
      'start varve as an ordinary user, or make an account: ‘useradd --system postgres’',
    );
  }
  if (server.isOther) return ok(check, `root; PostgreSQL runs as uid ${server.uid}`);
  if (server.hasName) return ok(check, `uid ${uid}`);
  if (namespaceFault === undefined)
    return ok(check, `uid ${uid} without a name: initdb runs in a user namespace`);
  return fail(
    check,
    `uid ${uid} has no name in /etc/passwd, and no user namespace can be made: ${namespaceFault}`,
    'give the account a line in /etc/passwd, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)',
  );
}
