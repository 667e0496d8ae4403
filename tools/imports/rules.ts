/**
 * The table of who may import whom. A *part* is a folder under src (or a folder in a folder, where that has rules of
 * its own). Every rule has its reason, which is printed with each violation.
 */

interface Part {
  /** Folder, as a path from the root of the repository. The longest one that a file lies in counts. */
  readonly folder: string;
  /** The other parts that it may import. A part may always import itself. */
  readonly may: readonly string[];
  /** Said after "may import only …". */
  readonly because: string;
  /** Whether it may import npm packages, or which. */
  readonly packages: boolean | readonly string[];
}

const PURE = ['base', 'postgres', 'redo', 'contracts'];
const SERVICE = [...PURE, 'io', 'observe', 'libpq', 'http', 'status', 'service'];
const SERVICES_MEET = 'services never import one another: they meet in contracts';

const part = (
  name: string,
  may: readonly string[],
  packages: boolean | readonly string[],
  because: string,
): Part => ({
  folder: `src/${name}`,
  may: may.map((other) => `src/${other}`),
  because,
  packages,
});

export const PARTS: readonly Part[] = [
  part('base', [], false, 'base holds the leaves that everything else stands on'),
  part('postgres', ['base'], false, "it knows PostgreSQL's own formats, and nothing of Varve"),
  part('redo', ['postgres', 'base'], false, 'redo is a pure function of page and record'),
  part(
    'contracts',
    ['postgres', 'base'],
    ['zod'],
    'contracts are what one program says to another, with no program in it',
  ),
  part('io', ['base'], true, 'the doors know nothing of who walks through them'),
  part(
    'io/node',
    ['io', 'base'],
    true,
    'a real side of the doors implements their interfaces, and nothing else',
  ),
  part(
    'io/s3',
    ['io', 'base'],
    true,
    'a real side of the doors implements their interfaces, and nothing else',
  ),
  part('observe', ['io', 'base'], true, 'logs, metrics and traces are used by all services and know none'),
  part(
    'libpq',
    ['postgres', 'base', 'io', 'observe'],
    false,
    "it speaks PostgreSQL's protocol over the sockets door, for all services alike",
  ),
  part(
    'http',
    ['base', 'contracts', 'io', 'observe'],
    true,
    'it carries requests and checks tokens for all services alike, and knows none',
  ),
  part(
    'status',
    ['base', 'postgres', 'contracts', 'io', 'observe', 'libpq'],
    false,
    "it follows safekeepers' status streams for all services alike, and knows none",
  ),
  part(
    'service',
    ['base', 'contracts', 'io', 'observe', 'http'],
    false,
    'it is what every service needs to open its doors, and knows none',
  ),
  part(
    'page-client',
    ['base', 'postgres', 'contracts', 'io', 'observe', 'libpq'],
    false,
    'it asks a page service for pages over the sockets door, for a compute and for tests alike, and knows neither',
  ),
  part('dev', SERVICE, false, 'it speaks to services, as a control plane would'),
  part('proposer', SERVICE, true, SERVICES_MEET),
  part('safekeeper', SERVICE, true, SERVICES_MEET),
  part(
    'control',
    [...SERVICE, 'proposer'],
    true,
    `${SERVICES_MEET}; it wins elections for timelines that no compute writes to, as a proposer`,
  ),
  part('proxy', SERVICE, true, SERVICES_MEET),
  part(
    'compute',
    [...SERVICE, 'proposer', 'page-client'],
    true,
    `${SERVICES_MEET}; only the proposer runs inside the compute agent`,
  ),
  part(
    'pageserver',
    [
      ...SERVICE,
      ...['keyspace', 'layers', 'ingest', 'read', 'remote', 'upkeep'].map((sub) => `pageserver/${sub}`),
    ],
    true,
    SERVICES_MEET,
  ),
  part('pageserver/keyspace', ['base', 'postgres', 'contracts'], false, 'keys and ranges are pure'),
  part(
    'pageserver/layers',
    [...SERVICE, 'pageserver/keyspace'],
    true,
    'a layer does not know the timeline it is in',
  ),
  ...['ingest', 'read', 'remote', 'upkeep'].map((sub) =>
    part(
      `pageserver/${sub}`,
      [...SERVICE, 'pageserver/layers', 'pageserver/keyspace'],
      true,
      'ingest, read, remote and upkeep do not know each other: timeline.ts hands each what it needs',
    ),
  ),
  part(
    'endpoints',
    [...PURE, 'io', 'observe', 'libpq', 'compute'],
    false,
    'it runs computes where it is told to, and knows neither storage nor the control plane',
  ),
  part(
    'system',
    [...SERVICE, 'control', 'endpoints', 'compute', 'safekeeper', 'pageserver'],
    true,
    'it puts a whole system together of all services, and nothing else does',
  ),
  part(
    'doctor',
    ['base', 'io', 'contracts', 'system'],
    false,
    'it looks at the machine that a system is started on, and starts nothing',
  ),
  part(
    'library',
    ['base', 'contracts', 'io', 'http'],
    false,
    'the library starts a system, and speaks to it through the public API',
  ),
  part(
    'client',
    [...PURE, 'io', 'observe', 'libpq', 'http'],
    false,
    'it asks a control plane and a server for whoever uses them, and knows neither from within',
  ),
  part(
    'transfer',
    [...PURE, 'io', 'observe', 'libpq', 'client'],
    false,
    'it carries databases between servers over their own protocol, and knows neither storage nor the control plane',
  ),
  part(
    'cli',
    [...PURE, 'io', 'observe', 'http'],
    true,
    'the command line speaks to services or starts their main.ts',
  ),
  part('console', ['contracts', 'io', 'base'], true, 'the console speaks to services through the public API'),
];

/** Folders outside of src: they may import anything, and nothing in src imports them. */
export const OUTSIDE = ['test', 'sim', 'bench', 'fuzz', 'tools', 'types', 'bin'];

/** A `main.ts` puts a program together, and so does the published library. */
export const isComposer = (path: string): boolean => /^src\/([^/]+\/main|index)\.ts$/.test(path);

/** What only a composer may pick. */
export const REAL_DOORS = ['src/io/node', 'src/io/s3'];

/** Who may start a service, by importing its main.ts. */
export const STARTERS = ['src/cli', 'src/index.ts', 'src/library', 'src/system'];

/** What may import a module that it is told the URL of: a composer has named it. */
export const LOADERS = ['src/io/node/worker-entry.ts', 'src/io/node/service-thread-entry.ts'];

export const isUnitTest = (path: string): boolean => path.endsWith('.test.ts');

/** Built-in modules that neither read nor change anything outside of their arguments. */
export const PURE_BUILTINS = ['node:buffer', 'node:events', 'node:path', 'node:url', 'node:util'];

/** Built-in modules that are pure in what we use of them, and where they have a place. */
export const BUILTINS_BY_PART: Readonly<Record<string, readonly string[]>> = {
  'node:zlib': ['src/postgres', 'src/pageserver', 'src/compute'],
  'node:crypto': ['src/base', 'src/io', 'src/postgres', 'src/safekeeper', 'src/control'],
};

/** Exports of otherwise pure built-in modules that are not. */
export const IMPURE_EXPORTS: Readonly<Record<string, readonly string[]>> = {
  'node:crypto': [
    'randomBytes',
    'randomFill',
    'randomFillSync',
    'randomInt',
    'randomUUID',
    'getRandomValues',
    'webcrypto',
    'subtle',
    'generateKey',
    'generateKeySync',
    'generateKeyPair',
    'generateKeyPairSync',
    'generatePrime',
    'generatePrimeSync',
  ],
};

/** Where the real sides of the doors may touch the world. */
export const DOOR_FOLDERS = ['src/io/node', 'src/io/s3'];

interface GlobalRule {
  /**
   * `name` or `name.property`; `new Date()` without an argument and `Date()` are `Date.now`. `name.*`: the object
   * itself, taken where its properties can be read from it under another name.
   */
  readonly names: readonly string[];
  /** Parts that may use it beside the door folders. */
  readonly allowedIn: readonly string[];
  readonly instead: string;
}

export const GLOBAL_RULES: readonly GlobalRule[] = [
  {
    names: ['Date.now', 'Date.*', 'performance', 'Temporal.Now'],
    allowedIn: [],
    instead: 'take the time from the clock door (src/io/clock.ts), or a simulation cannot replay it',
  },
  {
    names: [
      'setTimeout',
      'setInterval',
      'setImmediate',
      'clearTimeout',
      'clearInterval',
      'clearImmediate',
      'AbortSignal.timeout',
      'Atomics.wait',
      'Atomics.waitAsync',
    ],
    allowedIn: [],
    instead: 'wait on the clock door (src/io/clock.ts), or a simulation cannot replay it',
  },
  {
    names: ['Math.random', 'Math.*', 'crypto'],
    allowedIn: [],
    instead: 'take randomness from its door (src/io/random.ts), or a seed cannot replay it',
  },
  {
    names: ['process'],
    allowedIn: [],
    instead:
      "take it as an argument: only a main.ts looks at the process's environment, and only io/node acts on it",
  },
  {
    names: ['fetch', 'WebSocket', 'EventSource'],
    allowedIn: [],
    instead: 'go through the doors of src/io: what goes around them has no limit, no fault and no simulation',
  },
  {
    names: ['WebAssembly'],
    allowedIn: ['src/base', 'src/postgres'],
    instead: 'WebAssembly is for checksums and decoders, which live in src/base and src/postgres',
  },
  {
    names: ['globalThis', 'global', 'self'],
    allowedIn: [],
    instead: 'write the global itself: what is reached through its object, no rule can see',
  },
  {
    names: ['require', 'module'],
    allowedIn: [],
    instead: 'import it: what is required, no rule can see',
  },
  {
    names: ['eval', 'Function'],
    allowedIn: [],
    instead: 'no code is made from text',
  },
];
