import type { TenantId } from '../../src/base/ids.ts';
import { joinBytes } from '../../test/support/record-builder.ts';
import type { SeededRandom } from '../../test/support/seeded-random.ts';
import {
  BLOCKS,
  type PageserverUnderFire,
  RELATION,
  TIMELINE,
  VICTIM,
  WITNESS,
} from './pageserver-under-fire.ts';
import { damaged, Shot } from './shot.ts';

const REQUESTS_MAX = 80;
const COMMANDS = [
  ...[
    'pagestream_v2',
    'pagestream_v3',
    'basebackup',
    'fullbackup',
    'startset',
    'lease lsn',
    'set',
    'pagestream_v1',
  ],
  ...['PageStream_V3', 'lease'],
] as const;
const WORDS = [
  ...[
    'lsn',
    'latest',
    '--gzip',
    '--replica',
    '--read-only',
    '--standby',
    '--full',
    '0/0',
    '0/1000028',
    '0/1004000',
  ],
  ...[
    '1FFFFF/FFFFFFFF',
    'FFFFFFFF/FFFFFFFF',
    '0/FFFFFFF',
    '200000/0',
    '\\',
    "'",
    '\0',
    'ü',
    ';',
    '',
    '-',
    '0102',
  ],
] as const;
const TAGS = 'QPBDECHSXFdcfp?\0\xff';

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value | 0);
  return bytes;
}

export function frame(tag: string, body: string | Uint8Array): Buffer {
  const bytes = Buffer.from(body as string);
  return Buffer.concat([Buffer.from(tag, 'latin1'), int32(bytes.length + 4), bytes]);
}

export function startup(parameters = 'user\0varve\0\0'): Buffer {
  return Buffer.concat([int32(8 + parameters.length), int32(0x3_0000), Buffer.from(parameters)]);
}

/** A connection that has been let in, with the token that it came with. @throws Error where it was not */
export async function letIn(world: PageserverUnderFire, token: string): Promise<Shot> {
  const shot = await Shot.at(world, 'page');
  shot.send(startup(), frame('p', `${token}\0`));
  if (await shot.until(() => shot.received.includes(Buffer.from('Z\0\0\0\x05I', 'latin1')))) return shot;
  throw new Error('a good token is refused');
}

function lsn(random: SeededRandom): bigint {
  const good = 0x100_0028n + BigInt(random.below(80_000));
  const latest = 2n ** 64n - 1n;
  return random.pick([
    good,
    good,
    good,
    latest,
    latest,
    latest,
    latest,
    0n,
    1n,
    2n ** 53n,
    2n ** 53n - 1n,
    2n ** 40n,
    2n ** 64n - 2n,
  ]);
}

/** The body of a request, mostly of the right form. */
function request(random: SeededRandom, version: 2 | 3): Uint8Array {
  const tag = random.chance(0.9) ? random.pick([0, 1, 2, 2, 2, 3, 4]) : random.below(256);
  const head = Buffer.alloc(version === 3 ? 25 : 17);
  head[0] = tag;
  if (version === 3) head.writeBigUInt64BE(BigInt(random.next()), 1);
  head.writeBigUInt64BE(lsn(random), head.length - 16);
  head.writeBigUInt64BE(random.chance(0.9) ? 0x100_0028n : lsn(random), head.length - 8);
  const number = (good: number): Buffer => int32(random.chance(0.98) ? good : random.next());
  const fork = [
    number(RELATION.tablespace),
    number(RELATION.database),
    number(RELATION.relation),
    Buffer.from([random.pick([0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 255])]),
  ];
  const body =
    tag === 3
      ? [number(RELATION.database)]
      : tag === 4
        ? [Buffer.from([random.pick([0, 1, 2, 3, 255])]), number(0)]
        : tag === 2
          ? [...fork, number(random.below(2 * BLOCKS))]
          : fork;
  return joinBytes(head, ...body);
}

/** The body of a request for the first page, or of that form. */
export function requestBytes(
  version: 2 | 3,
  tag: number,
  requestLsn: bigint,
  notModifiedSince: bigint,
): Uint8Array {
  const head = Buffer.alloc(version === 3 ? 25 : 17);
  head[0] = tag;
  head.writeBigUInt64BE(requestLsn, head.length - 16);
  head.writeBigUInt64BE(notModifiedSince, head.length - 8);
  const { tablespace, database, relation } = RELATION;
  return joinBytes(head, int32(tablespace), int32(database), int32(relation), Buffer.from([0]), int32(0));
}

/** Nobody has been let in yet. */
async function shootStartup(world: PageserverUnderFire, random: SeededRandom): Promise<Shot> {
  const shot = await Shot.at(world, 'page');
  const good = joinBytes(startup(), frame('p', `${world.token('tenant', VICTIM)}\0`), frame('Q', 'set x'));
  const garbage = Uint8Array.from({ length: 1 + random.below(300) }, () => random.below(256));
  shot.send(random.chance(0.6) ? damaged(good, garbage, random) : garbage);
  shot.end();
  await shot.until(() => false);
  return shot;
}

/** A token that opens nothing here, or nothing of the witness. Returns what came after it was asked for the witness. */
async function shootForeign(world: PageserverUnderFire, random: SeededRandom): Promise<Shot> {
  const shot = await Shot.at(world, 'page');
  const good = world.token('tenant', VICTIM);
  const changed = Buffer.from(damaged(Buffer.from(good), Buffer.from(world.token('pageserverapi')), random));
  const token = random.pick([good, changed.toString('latin1'), '', world.token('safekeeperdata'), 'a.b.c']);
  shot.send(startup(), frame('p', `${token}\0`));
  const command = random.pick([
    'pagestream_v3',
    'pagestream_v2',
    'basebackup',
    'fullbackup',
    'startset',
    'lease lsn',
  ]);
  const lsnText = command === 'lease lsn' ? ' 0/1000028' : '';
  shot.send(frame('Q', `${command} ${WITNESS} ${TIMELINE}${lsnText}\0`));
  shot.send(frame('d', request(random, 3)), frame('c', ''), frame('X', ''));
  await shot.until(() => false);
  return shot;
}

/** Words that are commands, nearly. */
async function shootCommands(world: PageserverUnderFire, random: SeededRandom): Promise<Shot> {
  const shot = await letIn(world, world.token('tenant', VICTIM));
  const ids: readonly (TenantId | string)[] = [
    VICTIM,
    VICTIM,
    TIMELINE,
    TIMELINE,
    WITNESS,
    'f'.repeat(32),
    'zz',
  ];
  for (let times = 1 + random.below(4); times > 0; times--) {
    const words = [
      random.chance(0.7) ? random.pick(COMMANDS) : random.pick(WORDS),
      random.chance(0.8) ? VICTIM : random.pick(ids),
      random.chance(0.8) ? TIMELINE : random.pick(ids),
    ];
    while (random.chance(0.5)) words.push(random.chance(0.5) ? random.pick(WORDS) : random.pick(ids));
    const tag = random.chance(0.8) ? 'Q' : random.pick([...TAGS]);
    shot.send(frame(tag, `${words.join(random.chance(0.9) ? ' ' : '\t ')}\0`));
  }
  shot.send(frame('c', ''), frame('S', ''), frame('X', ''));
  await shot.until(() => false);
  return shot;
}

/** A stream of pages whose requests contradict themselves, are cut, or are none. */
async function shootRequests(world: PageserverUnderFire, random: SeededRandom): Promise<Shot> {
  const shot = await letIn(world, world.token('tenant', VICTIM));
  const version = random.pick([2, 3] as const);
  shot.send(frame('Q', `pagestream_v${version} ${VICTIM} ${TIMELINE}\0`));
  const frames = Array.from({ length: 1 + random.below(REQUESTS_MAX) }, () =>
    frame('d', request(random, version)),
  );
  const good = joinBytes(...frames);
  const bytes = random.chance(0.5)
    ? good
    : damaged(good, frame(random.pick([...TAGS]), good.subarray(0, 50)), random);
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + 1 + random.below(4000));
    shot.send(bytes.subarray(at, end));
    at = end;
    if (random.chance(0.2)) await new Promise((resolve) => setImmediate(resolve));
  }
  if (random.chance(0.2)) {
    shot.close();
    return shot;
  }
  if (random.chance(0.7)) shot.send(frame('c', ''), frame('X', ''));
  shot.end();
  await shot.until(() => false);
  return shot;
}

export const PAGE_SHOTS = {
  startup: shootStartup,
  foreign: shootForeign,
  commands: shootCommands,
  requests: shootRequests,
} as const;
