import { expect, test } from 'vitest';
import { VarveError } from '../../src/base/errors.ts';
import { parseTenantId } from '../../src/base/ids.ts';
import type { TokenClaims } from '../../src/contracts/token.ts';
import type { BackupOptions } from '../../src/pageserver/backup/backup-options.ts';
import { streamBackup } from '../../src/pageserver/backup/stream-backup.ts';
import { streamStartSet } from '../../src/pageserver/start-set/stream-start-set.ts';
import { PageServiceWorld } from '../page-service/page-service-world.ts';
import { encodeRequest, type PageTestClient, TENANT } from '../page-service/page-test-client.ts';
import * as scenarios from '../page-service/protocol-scenarios.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { MAIN } from '../support/storage-world.ts';

test('LSNs are checked: order, cutoff, leases, what is still to come', async () => {
  await scenarios.checksLsns();
});

test('a request waits for its WAL, and those before it do not', async () => {
  await scenarios.waitsForWal();
});

test('what is not there is zero, empty or an error, as in Neon', async () => {
  await scenarios.answersForWhatIsNotThere();
});

test('pages of a cluster with data checksums have them', async () => {
  await scenarios.setsChecksums();
});

test('PS-13: a Test message, an unknown tag or a wrong length ends the connection, with an error', async () => {
  await scenarios.refusesUnknownMessages();
});

test('version 2 is spoken, and a client may end its stream', async () => {
  await scenarios.speaksVersion2();
});

test('PS-10: a connection waits while its tenant is attached, or is told to come again', async () => {
  const attached = Promise.withResolvers<void>();
  let isTooLate = false;
  await using world: PageServiceWorld = await PageServiceWorld.open({
    commands: {
      access: {
        timeline: async (_tenantId, timelineId) => {
          if (isTooLate)
            throw new VarveError('unavailable', 'TENANT_NOT_ACTIVE', 'the tenant is being attached');
          await attached.promise;
          return world.storage.tenant.timeline(timelineId);
        },
      },
    },
  });
  const client = await world.connect();
  const opening = client.openStream(MAIN);
  client.ask(encodeRequest(3, { tag: 2 }));
  attached.resolve();
  await opening;
  await client.untilResponses(1);
  expect(client.responses[0]?.[0]).toBe(102);
  isTooLate = true;
  const late = await world.connect();
  await late.openStream(MAIN);
  await late.untilReady(2);
  expect(late.errors).toEqual(['ERROR 57P03: the tenant is being attached']);
});

test('a token opens its own tenant, and one of the service all', async () => {
  const claims: Record<string, TokenClaims> = {
    own: { scope: 'tenant', tenantId: TENANT },
    other: { scope: 'tenant', tenantId: parseTenantId('9'.repeat(32)) },
    service: { scope: 'pageserverapi' },
    safekeeper: { scope: 'safekeeperdata' },
  };
  await using world = await PageServiceWorld.open({
    connections: {
      authentication: { mode: 'token', authenticate: async (token) => claims[token] as TokenClaims },
    },
  });
  for (const [token, isOpen] of [
    ['own', true],
    ['other', false],
    ['service', true],
    ['safekeeper', false],
  ] as const) {
    for (const command of [
      `pagestream_v3 ${TENANT} ${MAIN}`,
      `lease lsn ${TENANT} ${MAIN} 0/1000028`,
      `lsn last ${TENANT} ${MAIN}`,
      `lsn at ${TENANT} ${MAIN} 2026-01-01T00:00:00Z`,
    ]) {
      const client = await world.connectRaw();
      await client.startUp(token);
      const before = client.tags.length;
      client.query(command);
      await client.until(() => client.tags.length > before);
      if (isOpen) expect(client.tags.slice(before)).not.toContain('E');
      else expect(client.errors).toEqual([expect.stringMatching(/^ERROR 55000: a token of scope/)]);
    }
  }
});

test('a connection is for one tenant', async () => {
  await using world = await PageServiceWorld.open();
  const client = await world.connect();
  client.query(`lease lsn ${TENANT} ${MAIN} 0/1000028`);
  await client.untilReady(2);
  client.query(`pagestream_v3 ${'9'.repeat(32)} ${MAIN}`);
  await client.untilReady(3);
  client.query("set datestyle to 'ISO'");
  await client.untilReady(4);
  expect(client.errors).toEqual([
    expect.stringMatching(/^ERROR 22023: this connection has asked for tenant 1{32} before/),
  ]);
  expect(client.tags.endsWith('EZCZ')).toBe(true);
});

test('a lease says until when, or nothing', async () => {
  await using world = await PageServiceWorld.open({
    settings: { historyBytes: 0, historyMs: 0, leaseMs: 1000 },
  });
  await world.write(200);
  const { timeline } = world.main;
  const client = await world.connect();
  client.query(`lease lsn ${TENANT}-0001 ${MAIN} 0/1000028`);
  await client.untilReady(2);
  expect(Number(/\d{13}/.exec(client.rows[0] ?? '')?.[0])).toBeGreaterThan(Date.now() - 10_000);
  client.query(`lease lsn ${TENANT} ${MAIN} 0/8`);
  await client.untilReady(3);
  expect(client.rows[1]).toBe('\0\x01\xff\xff\xff\xff');
  expect(timeline.isRetained(timeline.initialLsn)).toBe(true);
  expect(client.tags).toBe('RSSSZTDCZTDCZ');
});

test('backups are copied out; what fails after the beginning is an error within, and the connection goes on', async () => {
  const asked: BackupOptions[] = [];
  await using world = await PageServiceWorld.open({
    commands: {
      streamBackup: async function* (_active, options) {
        asked.push(options);
        if (options.lsn === 8) throw new VarveError('precondition', 'LSN_BELOW_CUTOFF', 'it is too old');
        yield new Uint8Array(3_000_000).fill(7);
        if (options.isReplica)
          throw new VarveError('unavailable', 'FETCH_FAILED', 'a file could not be read');
        yield new Uint8Array(0);
        yield Uint8Array.of(1, 2, 3);
      },
      streamStartSet: async function* (_active, { form }) {
        yield new TextEncoder().encode(form);
      },
    },
    connections: { bodyBytesMax: 10_000 },
  });
  const client = await world.connect();
  for (const [command, tags] of [
    [`basebackup ${TENANT} ${MAIN} latest --gzip`, 'HcCZ'],
    [`basebackup ${TENANT} ${MAIN} 0/8`, 'EZ'],
    [`basebackup ${TENANT} ${MAIN} --replica`, 'HEZ'],
    [`fullbackup ${TENANT} ${MAIN} 0/10 0/9`, 'HcCZ'],
    [`startset ${TENANT} ${MAIN} --standby`, 'HcCZ'],
    [`basebackup ${TENANT} ${'8'.repeat(32)}`, 'EZ'],
    ['nonsense', 'EZ'],
  ] as const) {
    const before = client.tags.length;
    client.query(command);
    await client.until(() => client.tags.slice(before).endsWith('Z'));
    expect(`${command}: ${client.tags.slice(before)}`).toBe(`${command}: ${tags}`);
  }
  expect(asked[0]).toEqual({
    kind: 'base',
    lsn: undefined,
    previousRecordLsn: undefined,
    isReplica: false,
    compression: 'gzip',
  });
  expect(asked[3]).toMatchObject({ kind: 'full', lsn: 16, previousRecordLsn: 9 });
  expect(client.responses.map(({ length }) => length)).toEqual([
    3_000_000, 0, 3, 3_000_000, 3_000_000, 0, 3, 7,
  ]);
  expect(client.errors.slice(0, 2)).toEqual([
    'ERROR 55000: it is too old',
    'ERROR 57P03: a file could not be read',
  ]);
});

test.each([
  ['ends its half of the connection', (client: PageTestClient) => client.connection.end()],
  ['says goodbye', (client: PageTestClient) => client.sendMessage('X', new Uint8Array(0))],
])('what a client has asked for waits for no LSN any more when it %s', async (_, leave) => {
  const signals: AbortSignal[] = [];
  await using world = await PageServiceWorld.open({
    commands: {
      streamBackup: (active, options, context) => {
        signals.push(context.signal);
        return streamBackup(active, options, context);
      },
      streamStartSet: (active, options, context) => {
        signals.push(context.signal);
        return streamStartSet(active, options, context);
      },
    },
  });
  for (const command of [`fullbackup ${TENANT} ${MAIN} F/0`, `startset ${TENANT} ${MAIN} F/0`]) {
    const client = await world.connect();
    const before = signals.length;
    client.query(command);
    await expect.poll(() => signals.length).toBe(before + 1);
    expect(signals[before]?.aborted).toBe(false);
    leave(client);
    await client.until(() => false);
    expect(client.errors).toEqual([expect.stringMatching(/^ERROR 57014: /)]);
    expect(client.tags).toBe('RSSSZEZ');
  }
  await expect.poll(() => world.endings).toEqual([{ kind: 'client-closed' }, { kind: 'client-closed' }]);
});

test('a client that has ended its half gets what is being copied to it', async () => {
  const left = Promise.withResolvers<void>();
  await using world = await PageServiceWorld.open({
    commands: {
      streamBackup: async function* (_active, _options, { signal }) {
        yield Uint8Array.of(1);
        await left.promise;
        yield Uint8Array.of(signal.aborted ? 0 : 2);
      },
    },
    onConnection: (connection) => {
      const receive = connection.receive.bind(connection);
      connection.receive = (receiver) =>
        receive({
          onBytes: (chunk) => receiver.onBytes(chunk),
          onEnd: () => {
            receiver.onEnd();
            left.resolve();
          },
          onClosed: (error) => receiver.onClosed(error),
        });
    },
  });
  const client = await world.connect();
  client.query(`basebackup ${TENANT} ${MAIN}`);
  await client.untilResponses(1);
  client.connection.end();
  await client.until(() => false);
  expect(client.responses.map((piece) => [...piece])).toEqual([[1], [2]]);
  expect(client.tags).toBe('RSSSZHcCZ');
});

test('any bytes as requests or commands end in an answer or an error, and disturb nobody', {
  timeout: 60_000,
}, async () => {
  await using world = await PageServiceWorld.open({ settings: { lsnWaitMs: 5 } });
  await world.write(50);
  const other = await world.stream();
  const random = new SeededRandom(11);
  const words = [
    'pagestream_v3',
    'pagestream_v2',
    'lease',
    'lsn',
    'set',
    TENANT,
    MAIN,
    '0/1',
    '\u{1f600}',
    '--x',
  ];
  for (let round = 0; round < 300; round++) {
    const client = await world.connect();
    if (random.chance(0.3)) {
      client.query(Array.from({ length: 1 + random.below(5) }, () => random.pick(words)).join(' '));
      await client.until(() => client.tags.length > 6);
    } else {
      await client.openStream(MAIN);
      const requests = Array.from({ length: 1 + random.below(20) }, () => {
        const bytes = encodeRequest(3, { tag: random.below(6) % 5, block: random.below(30) }).slice();
        for (let change = random.below(4); change > 0; change--) {
          // The tag and the length are seldom touched: most get to where they are read.
          const at = random.chance(0.05) ? 0 : 1 + random.below(bytes.length - 1);
          bytes[at] = random.below(256);
        }
        return random.chance(0.03) ? bytes.subarray(0, random.below(bytes.length)) : bytes;
      });
      client.ask(...requests);
      await client.until(() => client.responses.length === requests.length || client.errors.length > 0);
    }
    client.close();
  }
  other.ask(encodeRequest(3, { tag: 2 }));
  await other.untilResponses(1);
  expect(other.responses).toHaveLength(1);
  expect(world.endings.filter(({ kind }) => kind === 'bug')).toEqual([]);
});
