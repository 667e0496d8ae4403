import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { base64url, exportPKCS8, exportSPKI, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseTenantId } from '../base/ids.ts';
import { nodeClock } from '../io/node/clock.ts';
import { nodeFiles } from '../io/node/files.ts';
import { loadVerificationKeys, parseVerificationKeys } from './token-keys.ts';
import { TokenSigner } from './token-signer.ts';
import { TokenVerifier } from './token-verifier.ts';

const NOW_S = 1_700_000_000;
const clock = { ...nodeClock, wallMs: () => NOW_S * 1000 };

async function makePair() {
  const pair = await generateKeyPair('EdDSA', { extractable: true });
  return {
    ...pair,
    publicPem: await exportSPKI(pair.publicKey),
    signer: await TokenSigner.fromPem(await exportPKCS8(pair.privateKey)),
  };
}

type Pair = Awaited<ReturnType<typeof makePair>>;
let first: Pair;
let second: Pair;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'varve-token-'));
  [first, second] = await Promise.all([makePair(), makePair()]);
});
afterAll(() => rm(directory, { recursive: true }));

const verifierOf = async (...pairs: Pair[]): Promise<TokenVerifier> =>
  new TokenVerifier(await parseVerificationKeys(pairs.map(({ publicPem }) => publicPem).join('\n')), clock);

const REFUSED = { kind: 'precondition', code: 'TOKEN_REFUSED' };

test('a token of any of the keys is believed, and gives its claims', async () => {
  const verifier = await verifierOf(first, second);
  const claims = { scope: 'tenant', tenantId: parseTenantId('ab'.repeat(16)), endpointId: 'ep-1' } as const;
  expect(await verifier.verify(await first.signer.sign(claims))).toEqual(claims);
  expect(await verifier.verify(await second.signer.sign(claims))).toEqual(claims);
});

test('a token of another key is refused', async () => {
  const token = await second.signer.sign({ scope: 'safekeeperdata' });
  await expect((await verifierOf(first)).verify(token)).rejects.toMatchObject(REFUSED);
});

test.each([
  [59, true],
  [61, false],
  [-1000, true],
])('a token that expired %i s ago is believed: %s', async (agoS, isBelieved) => {
  const token = await first.signer.sign({ scope: 'admin', expiresAtS: NOW_S - agoS });
  // The second key is tried first: expiry must not depend on the order.
  const verified = (await verifierOf(second, first)).verify(token);
  if (isBelieved) await expect(verified).resolves.toMatchObject({ scope: 'admin' });
  else await expect(verified).rejects.toMatchObject(REFUSED);
});

const part = (value: object): string => base64url.encode(JSON.stringify(value));

test.each<[string, () => Promise<string>]>([
  ['nothing', async () => ''],
  ['no token', async () => 'a.b.c'],
  ['alg none', async () => `${part({ alg: 'none' })}.${part({ scope: 'safekeeperdata' })}.`],
  [
    'HMAC with the public key as its secret',
    () =>
      new SignJWT({ scope: 'safekeeperdata' })
        .setProtectedHeader({ alg: 'HS256' })
        .sign(new TextEncoder().encode(first.publicPem)),
  ],
  [
    'another algorithm',
    async () =>
      new SignJWT({ scope: 'safekeeperdata' })
        .setProtectedHeader({ alg: 'ES256' })
        .sign((await generateKeyPair('ES256')).privateKey),
  ],
  [
    'a changed payload',
    async () => {
      const [header, , signature] = (await first.signer.sign({ scope: 'tenant' })).split('.');
      return `${header}.${part({ scope: 'safekeeperdata' })}.${signature}`;
    },
  ],
  [
    'an unknown scope',
    () => new SignJWT({ scope: 'root' }).setProtectedHeader({ alg: 'EdDSA' }).sign(first.privateKey),
  ],
  [
    'an expiry that is a text',
    () =>
      new SignJWT({ scope: 'admin', exp: 'never' as unknown as number })
        .setProtectedHeader({ alg: 'EdDSA' })
        .sign(first.privateKey),
  ],
  ['a text without end', async () => 'a'.repeat(100_000)],
])('%s is refused', async (_, makeToken) => {
  const token = await makeToken();
  await expect((await verifierOf(first)).verify(token)).rejects.toMatchObject(REFUSED);
});

test('keys come from a file, or from all files of a directory', async () => {
  const many = join(directory, 'many');
  await mkdir(join(many, '..data'), { recursive: true });
  await mkdir(join(many, 'sub'));
  await writeFile(join(many, 'one.pem'), first.publicPem);
  await writeFile(join(many, 'two.pem'), second.publicPem);
  await writeFile(join(many, '.hidden'), 'not a key');
  expect(await loadVerificationKeys(nodeFiles, many)).toHaveLength(2);
  expect(await loadVerificationKeys(nodeFiles, join(many, 'one.pem'))).toHaveLength(1);
});

test('a directory without keys, and files that hold none or another kind, are refused by name', async () => {
  const empty = join(directory, 'empty');
  await mkdir(empty);
  await expect(loadVerificationKeys(nodeFiles, empty)).rejects.toMatchObject({
    code: 'NO_TOKEN_KEYS',
    place: { file: empty },
  });
  const file = join(empty, 'key.pem');
  const elliptic = await generateKeyPair('ES256', { extractable: true });
  const block = '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----';
  for (const content of ['', 'x', block, await exportSPKI(elliptic.publicKey)]) {
    await writeFile(file, content);
    await expect(loadVerificationKeys(nodeFiles, empty)).rejects.toMatchObject({
      code: 'BAD_TOKEN_KEY',
      place: { file },
    });
  }
  await expect(loadVerificationKeys(nodeFiles, join(empty, 'none'))).rejects.toMatchObject({
    code: 'FILE_NOT_FOUND',
  });
});

test('no verifier goes without a key, and no signer quotes one', async () => {
  expect(() => new TokenVerifier([], clock)).toThrow(expect.objectContaining({ code: 'NO_TOKEN_KEYS' }));
  const failure = await TokenSigner.fromPem('-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----')
    .then(() => undefined)
    .catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: 'BAD_TOKEN_KEY' });
  expect(failure).not.toHaveProperty('cause');
  expect(String(failure)).not.toContain('SECRET');
});
