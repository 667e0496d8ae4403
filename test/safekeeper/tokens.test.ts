import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formatLsn } from '../../src/base/lsn.ts';
import type { TokenClaims } from '../../src/contracts/token.ts';
import type { TokenSigner } from '../../src/http/token-signer.ts';
import type { SocketAddress } from '../../src/io/sockets.ts';
import { makeSelfSigned } from '../support/certificates.ts';
import { runVarve } from '../support/varve-command.ts';
import { connectToSafekeeper, WalPusher } from '../support/wal-pusher.ts';
import {
  KEY,
  makeTestWal,
  makeTokenKeys,
  newTimeline,
  OTHER_TENANT,
  OTHER_TIMELINE,
  START_LSN,
  signal,
  TENANT,
  TestSafekeeper,
  TIMELINE,
} from './running-safekeeper.ts';

const directory = mkdtempSync(join(tmpdir(), 'varve-tokens-'));
afterAll(() => rmSync(directory, { recursive: true }));

const keyPath = join(directory, 'tokens.pem');
let signer: TokenSigner;
let stranger: TokenSigner;

beforeAll(async () => {
  const { publicKeyPem, signer: known } = await makeTokenKeys();
  writeFileSync(keyPath, publicKeyPem);
  signer = known;
  stranger = (await makeTokenKeys()).signer;
});

const everything: TokenClaims = { scope: 'safekeeperdata' };
const own: TokenClaims = { scope: 'tenant', tenantId: TENANT };
const others: TokenClaims = { scope: 'tenant', tenantId: OTHER_TENANT };

const startGuarded = () =>
  TestSafekeeper.start({
    pgTokenKeysPath: keyPath,
    httpTokenKeysPath: keyPath,
    listenPgTenantOnly: { host: '127.0.0.1', port: 0 },
  });

test('HTTP: a tenant reaches what is its own, and nothing else', async () => {
  await using safekeeper = await startGuarded();
  const as = async (claims: TokenClaims) => safekeeper.client(await signer.sign(claims));
  await (await as(own)).createTimeline(newTimeline(), signal());
  expect(await (await as(own)).timelineStatus(KEY, signal())).toMatchObject(KEY);
  expect(await (await as(everything)).listTimelines(signal())).toEqual([KEY]);
  const refused = { kind: 'precondition', code: 'SCOPE_REFUSED' };
  await expect((await as(others)).timelineStatus(KEY, signal())).rejects.toMatchObject(refused);
  await expect((await as(others)).deleteTimeline(KEY, {}, signal())).rejects.toMatchObject(refused);
  await expect((await as(own)).listTimelines(signal())).rejects.toMatchObject(refused);
  await expect(safekeeper.client().listTimelines(signal())).rejects.toMatchObject({ code: 'TOKEN_MISSING' });
  const forged = safekeeper.client(await stranger.sign(everything));
  await expect(forged.listTimelines(signal())).rejects.toMatchObject({ code: 'TOKEN_REFUSED' });
  expect(await safekeeper.client().status(signal())).toEqual({ id: 1 });
});

test('libpq: likewise, and one door is for tenants only', async () => {
  await using safekeeper = await startGuarded();
  const { pg, pgTenantOnly } = safekeeper.service.addresses;
  await safekeeper.client(await signer.sign(own)).createTimeline(newTimeline(), signal());
  const identify = async (address: SocketAddress, claims: TokenClaims, by = signer): Promise<string> => {
    const key = { tenantId: TENANT, timelineId: TIMELINE };
    try {
      const client = await connectToSafekeeper({ address, ...key, token: await by.sign(claims) });
      try {
        return (await client.query('IDENTIFY_SYSTEM')).rows[0]?.[1] ?? 'nothing';
      } finally {
        await client.close();
      }
    } catch (error) {
      return (error as Error).message;
    }
  };
  const tenantOnly = pgTenantOnly as SocketAddress;
  expect(await identify(pg, own)).toBe('1');
  expect(await identify(pg, everything)).toBe('1');
  expect(await identify(tenantOnly, own)).toBe('1');
  expect(await identify(tenantOnly, { ...own, timelineId: TIMELINE })).toBe('1');
  for (const refused of [
    identify(pg, others),
    identify(pg, own, stranger),
    identify(tenantOnly, others),
    identify(tenantOnly, everything),
    identify(tenantOnly, { ...own, timelineId: OTHER_TIMELINE }),
    identify(pg, { scope: 'pageserverapi' }),
  ]) {
    expect(await refused).toMatch(/token|authentication/i);
  }
  await expect(connectToSafekeeper({ address: pg, tenantId: TENANT, timelineId: TIMELINE })).rejects.toThrow(
    /password/i,
  );
});

test('with a certificate all doors speak TLS, and nothing else', async () => {
  const identity = makeSelfSigned(['localhost', '127.0.0.1']);
  const certificatePath = join(directory, 'certificate.pem');
  const privateKeyPath = join(directory, 'key.pem');
  writeFileSync(certificatePath, identity.certificate);
  writeFileSync(privateKeyPath, identity.privateKey);
  await using safekeeper = await TestSafekeeper.start({ tls: { certificatePath, privateKeyPath } });
  const address = safekeeper.service.addresses.pg;
  const key = { tenantId: TENANT, timelineId: TIMELINE };
  const trust = { authorities: identity.certificate, serverName: 'localhost' };
  const client = await connectToSafekeeper({ address, ...key, trust });
  expect((await client.query('TIMELINE_STATUS')).rows).toEqual([]);
  await client.close();
  await expect(connectToSafekeeper({ address, ...key })).rejects.toThrow();
  expect(await safekeeper.secureClient(trust).status(signal())).toEqual({ id: 1 });
  await expect(safekeeper.client().status(signal())).rejects.toThrow();
});

test('keys that are none, or not there, are said by name, and nothing is left', async () => {
  const noKey = join(directory, 'no-key.pem');
  writeFileSync(noKey, 'hello\n');
  await expect(TestSafekeeper.start({ httpTokenKeysPath: noKey })).rejects.toMatchObject({
    code: 'BAD_TOKEN_KEY',
  });
  await using safekeeper = await TestSafekeeper.start();
  await safekeeper.service.close();
  const path = join(directory, 'nowhere');
  const broken = TestSafekeeper.startAt(safekeeper.directory, { httpTokenKeysPath: path });
  await expect(broken).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  // The directory is free again.
  await safekeeper.open();
});

test('safekeepers reach each other with their own tokens, over TLS', async () => {
  const identity = makeSelfSigned(['localhost', '127.0.0.1']);
  const files = { certificatePath: join(directory, 'c.pem'), privateKeyPath: join(directory, 'k.pem') };
  const peerTokenPath = join(directory, 'own.token');
  writeFileSync(files.certificatePath, identity.certificate);
  writeFileSync(files.privateKeyPath, identity.privateKey);
  writeFileSync(peerTokenPath, `${await signer.sign(everything)}\n`);
  const start = (nodeId: number) =>
    TestSafekeeper.start({
      nodeId,
      tls: files,
      peerAuthoritiesPath: files.certificatePath,
      pgTokenKeysPath: keyPath,
      peerTokenPath,
    });
  await using one = await start(1);
  await using two = await start(2);
  const safekeepers = [one, two];
  const mconf = {
    generation: 1,
    members: safekeepers.map(({ service }, index) => ({
      id: index + 1,
      host: '127.0.0.1',
      pgPort: service.addresses.pg.port,
    })),
    newMembers: undefined,
  };
  const trust = { authorities: identity.certificate, serverName: 'localhost' };
  for (const safekeeper of safekeepers) {
    await safekeeper.secureClient(trust).createTimeline(newTimeline({ mconf }), signal());
  }
  const pusher = await WalPusher.start({
    address: one.service.addresses.pg,
    tenantId: TENANT,
    timelineId: TIMELINE,
    token: await signer.sign(own),
    trust,
    membership: mconf,
  });
  await pusher.elect(1, START_LSN);
  const end = await pusher.push(makeTestWal());
  await pusher.close();
  await expect
    .poll(async () => (await two.secureClient(trust).timelineStatus(KEY, signal())).flush_lsn, {
      timeout: 15_000,
    })
    .toBe(end);
});

test('a proposer brings its token from a file', async () => {
  await using safekeeper = await startGuarded();
  const { pg } = safekeeper.service.addresses;
  if (!('port' in pg)) throw new Error('it listens on TCP');
  await safekeeper.client(await signer.sign(own)).createTimeline(newTimeline(), signal());
  const tokenPath = join(directory, 'token');
  writeFileSync(tokenPath, `${await signer.sign(own)}\n`);
  const { generation, members } = newTimeline().mconf;
  const { code, out } = await runVarve(
    'proposer',
    'sync',
    ...['--tenant', TENANT, '--timeline', TIMELINE, '--auth-token-path', tokenPath],
    ...['--generation', String(generation), '--segment-size', String(newTimeline().wal_seg_size)],
    ...['--safekeepers', `${members[0]?.id ?? 1}=127.0.0.1:${pg.port}`],
  );
  expect({ code, out }).toEqual({ code: 0, out: `${formatLsn(START_LSN)}\n` });
});
