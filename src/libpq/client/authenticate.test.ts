import { expect, test } from 'vitest';
import { nodeRandom } from '../../io/node/random.ts';
import type { AuthenticationRequest } from '../../postgres/wire/authentication-request.ts';
import { decodeSaslInitialResponse } from '../../postgres/wire/authentication-response.ts';
import { deriveScramSecret, scramServerFinal, scramServerFirst } from '../../postgres/wire/scram.ts';
import { ClientAuthentication } from './authenticate.ts';

const OK: AuthenticationRequest = { method: 'Ok' };
const SASL: AuthenticationRequest = { method: 'SASL', mechanisms: ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'] };
const secret = deriveScramSecret(
  'secret',
  Uint8Array.from({ length: 16 }, (_, at) => at),
  4096,
);
const textOf = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString();

/** As far as the server's last message, which the caller sends. */
async function logIn(password: string): Promise<{ client: ClientAuthentication; serverFinal: Uint8Array }> {
  const client = new ClientAuthentication(async () => password, nodeRandom);
  const initial = decodeSaslInitialResponse((await client.answer(SASL)) as Uint8Array);
  expect(initial.mechanism).toBe('SCRAM-SHA-256');
  const first = scramServerFirst(secret, textOf(initial.response), 'nonceOfTheServer');
  const proof = await client.answer({ method: 'SASLContinue', data: Buffer.from(first.message) });
  return { client, serverFinal: Buffer.from(scramServerFinal(first, textOf(proof))) };
}

test('both sides prove that they know the password', async () => {
  const { client, serverFinal } = await logIn('secret');
  expect(await client.answer({ method: 'SASLFinal', data: serverFinal })).toBeUndefined();
  expect(await client.answer(OK)).toBeUndefined();
  await expect(logIn('wrong')).rejects.toMatchObject({ code: 'WRONG_PASSWORD' });
});

test('a server that proves nothing, or something else, is not believed', async () => {
  const { client } = await logIn('secret');
  await expect(client.answer(OK)).rejects.toMatchObject({ code: 'UNEXPECTED_MESSAGE' });
  await expect(client.answer({ method: 'CleartextPassword' })).rejects.toMatchObject({
    code: 'UNEXPECTED_MESSAGE',
  });
  const forged = Buffer.from(`v=${Buffer.alloc(32).toString('base64')}`);
  await expect(client.answer({ method: 'SASLFinal', data: forged })).rejects.toMatchObject({
    code: 'BAD_SERVER_SIGNATURE',
  });
  await expect(client.answer(SASL)).rejects.toMatchObject({ code: 'UNEXPECTED_MESSAGE' });
});

test('mechanisms that are not spoken here are refused by name', async () => {
  const client = new ClientAuthentication('secret', nodeRandom);
  await expect(client.answer({ method: 'SASL', mechanisms: ['OAUTHBEARER'] })).rejects.toThrow(/OAUTHBEARER/);
  await expect(client.answer({ method: 'MD5Password', salt: new Uint8Array(4) })).rejects.toThrow(/md5/);
});

test('MD5 is answered where it is known who logs in', async () => {
  const client = new ClientAuthentication('secret', nodeRandom, 'anna');
  const answer = await client.answer({ method: 'MD5Password', salt: Uint8Array.of(1, 2, 3, 4) });
  // md5(md5('secretanna') || salt), by md5sum.
  expect(textOf(answer)).toBe('md57a40e687695f2126a3421c7f4bc9861e\0');
});
