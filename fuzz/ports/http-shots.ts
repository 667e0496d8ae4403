import type { SeededRandom } from '../../test/support/seeded-random.ts';
import { type PageserverUnderFire, TIMELINE, VICTIM, WITNESS } from './pageserver-under-fire.ts';
import { damaged, Shot } from './shot.ts';

/** What the service says of itself, as far as it is needed. */
export interface Routes {
  readonly paths: Readonly<
    Record<
      string,
      Readonly<
        Record<string, { readonly parameters?: readonly { readonly name: string; readonly in: string }[] }>
      >
    >
  >;
}

const LSN = '0/1000028';
/** Values that mean something somewhere, or nearly. */
const VALUES: readonly unknown[] = [
  ...[
    null,
    true,
    0,
    -1,
    1e308,
    1.5,
    2 ** 53,
    '',
    LSN,
    'FFFFFFFF/FFFFFFFF',
    '200000/0',
    '0/0',
    '7 days',
    '1e9days',
    '-1s',
  ],
  ...[
    'AttachedSingle',
    'AttachedMulti',
    'AttachedStale',
    'Secondary',
    'Detached',
    'Archived',
    'Unarchived',
    'true',
  ],
  ...['2026-01-01T00:00:00Z', '9999-12-31T23:59:59Z', '0000-01-01T00:00:00Z', '+275760-09-13T00:00:00Z'],
  ...[
    VICTIM,
    WITNESS,
    TIMELINE,
    '7'.repeat(32),
    '0'.repeat(36),
    `${VICTIM}-0204`,
    {},
    [],
    [[]],
    { secs: 1e300, nanos: -1 },
  ],
];
const FIELDS: readonly string[] = [
  ...[
    'tenant_id',
    'new_timeline_id',
    'ancestor_timeline_id',
    'ancestor_start_lsn',
    'ancestor_start_time',
    'pg_version',
  ],
  ...[
    'mode',
    'generation',
    'tenant_conf',
    'secondary_conf',
    'shard_number',
    'shard_count',
    'state',
    'lsn',
    'gc_horizon',
  ],
  ...[
    'timeout',
    'gc_period',
    'pitr_interval',
    'lsn_lease_length',
    'wait_lsn_timeout',
    '__proto__',
    'constructor',
    'x',
    TIMELINE,
  ],
];
const TOKENS = ['none', 'victim', 'witness-asked', 'service', 'other', 'damaged'] as const;
const METHODS = ['GET', 'PUT', 'POST', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'TRACE', 'BREW'] as const;
/** It takes time by itself. */
const SLOW = /^\/profile\//;

/** Bodies that are good, by the end of the path. */
const BODIES: readonly (readonly [RegExp, () => Record<string, unknown>])[] = [
  [/location_config$/, () => ({ mode: 'AttachedSingle', tenant_conf: {} })],
  [/\/timeline$/, () => ({ new_timeline_id: '7'.repeat(32), ancestor_timeline_id: TIMELINE })],
  [/archival_config$/, () => ({ state: 'Archived' })],
  [/lsn_lease$|list_aux_files$/, () => ({ lsn: LSN })],
  [/wait_lsn$/, () => ({ [TIMELINE]: LSN, timeout: { secs: 0, nanos: 1000 } })],
  [/tenant\/config$/, () => ({ tenant_id: VICTIM, gc_horizon: 0 })],
  [/do_gc$/, () => ({ gc_horizon: 0 })],
];

function json(random: SeededRandom, depth = 0): unknown {
  if (depth > 2 || random.chance(0.5)) return random.pick(VALUES);
  const body: Record<string, unknown> = {};
  for (let count = random.below(4); count > 0; count--)
    setField(body, random.pick(FIELDS), json(random, depth + 1));
  return body;
}

/** Whatever its name. */
function setField(body: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(body, name, { value, enumerable: true, configurable: true });
}

function bodyOf(random: SeededRandom, path: string): string {
  const good = BODIES.find(([pattern]) => pattern.test(path))?.[1]();
  let value: unknown = good;
  if (good === undefined || random.chance(0.2)) value = json(random);
  else if (random.chance(0.6)) {
    const name = random.pick(random.chance(0.6) ? Object.keys(good) : FIELDS);
    setField(good, name, json(random, 1));
  }
  const text = JSON.stringify(value);
  if (random.chance(0.9)) return text;
  if (random.chance(0.3)) return '['.repeat(random.below(20_000));
  return Buffer.from(damaged(Buffer.from(text), Buffer.from('{"a":\u0000}'), random)).toString('latin1');
}

function queryOf(random: SeededRandom, names: readonly string[]): string {
  const pairs = names
    .filter(() => random.chance(0.6))
    .map((name) => `${name}=${encodeURIComponent(String(random.pick(VALUES)))}`);
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}

interface Drawn {
  readonly request: string;
  /** The token opens what is the victim's, or nothing; and the witness is asked for. */
  readonly isForeign: boolean;
}

function draw(world: PageserverUnderFire, routes: Routes, random: SeededRandom): Drawn {
  const kind = random.pick(TOKENS);
  const paths = Object.entries(routes.paths).filter(([path]) => !SLOW.test(path));
  const [path, methods] = random.pick(paths);
  const known = random.pick(Object.entries(methods));
  const method = random.chance(0.9) ? known[0].toUpperCase() : random.pick(METHODS);
  // Whoever may do everything does nothing to the witness.
  const tenant =
    kind === 'service' ? VICTIM : kind === 'witness-asked' ? WITNESS : random.pick([VICTIM, VICTIM, WITNESS]);
  const tenantText = random.chance(0.9)
    ? tenant
    : random.pick(['f'.repeat(32), 'x', `${tenant}-0102`, `${tenant}-0001`, '%00', '..%2f..']);
  const target = path
    .replace(/\{tenant_(shard_)?id\}/, tenantText)
    .replace('{timeline_id}', random.chance(0.8) ? TIMELINE : random.pick(['7'.repeat(32), 'x', '%ff']))
    .replace(/\{\w+\}/, () => encodeURIComponent(String(random.pick(VALUES))));
  const names = (known[1].parameters ?? [])
    .filter((parameter) => parameter.in === 'query')
    .map(({ name }) => name);
  let body = method === 'GET' && random.chance(0.9) ? '' : bodyOf(random, path);
  // Nor does it name it in what it asks for.
  if (kind === 'service') body = body.replaceAll(WITNESS, VICTIM);
  const token = tokenOf(world, kind);
  const head = [
    `${method} ${target}${queryOf(random, names)} HTTP/1.1`,
    `Host: ${random.chance(0.95) ? 'pageserver' : 'a/b?c'}`,
    'Connection: close',
    ...(token === undefined ? [] : [`Authorization: Bearer ${token}`]),
    ...(random.chance(0.9) ? ['Content-Type: application/json'] : []),
    ...(body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
  ];
  return {
    request: `${head.join('\r\n')}\r\n\r\n${body}`,
    isForeign: kind !== 'service' && tenant === WITNESS,
  };
}

function tokenOf(world: PageserverUnderFire, kind: (typeof TOKENS)[number]): string | undefined {
  switch (kind) {
    case 'none':
      return undefined;
    case 'service':
      return world.token('pageserverapi');
    case 'other':
      return world.token('safekeeperdata');
    case 'damaged':
      return world.token('pageserverapi').replace(/^(.{60})./, (_, head: string) => `${head}_`);
    default:
      return world.token('tenant', VICTIM);
  }
}

/** The status of an answer; undefined where there is none. */
export function statusOf(shot: Shot): number | undefined {
  const match = /^HTTP\/1\.1 (\d{3})/.exec(shot.received.toString('latin1'));
  return match === null ? undefined : Number(match[1]);
}

/** Requests that are of the right form, nearly. */
async function shootRequest(world: PageserverUnderFire, random: SeededRandom, routes: Routes): Promise<Shot> {
  const { request, isForeign } = draw(world, routes, random);
  const shot = await Shot.at(world, 'http');
  shot.send(request);
  await shot.until(() => false);
  const status = statusOf(shot);
  if (status === undefined || status === 500) throw new Error(`${status} is answered to ${request}`);
  const isOpen = /^\S+ \/(metrics|openapi|live|ready|v1\/status)/.test(request);
  if (isForeign && status < 400 && !isOpen && request.includes(WITNESS)) {
    throw new Error(`somebody else's token opens ${request}`);
  }
  return shot;
}

/** What is no HTTP, or not for long. */
async function shootGarbage(world: PageserverUnderFire, random: SeededRandom, routes: Routes): Promise<Shot> {
  const shot = await Shot.at(world, 'http');
  const good = Buffer.from(draw(world, routes, random).request.replaceAll(WITNESS, VICTIM));
  const garbage = Uint8Array.from({ length: 1 + random.below(400) }, () => random.below(256));
  shot.send(random.chance(0.7) ? damaged(good, garbage, random) : garbage);
  shot.end();
  await shot.until(() => false);
  if (statusOf(shot) === 500) throw new Error(`500 is answered to ${good.toString('latin1')}`);
  return shot;
}

export const HTTP_SHOTS = { request: shootRequest, garbage: shootGarbage } as const;
