import { Buffer } from 'node:buffer';
import { createHash, createHmac, pbkdf2Sync, timingSafeEqual } from 'node:crypto';
import { BadRequestError } from '../../base/errors.ts';
import { CommandError, ProtocolError } from './wire-error.ts';

// SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677; auth-scram.c, fe-auth-scram.c), as plain functions: nonces
// and salts are given. The user's name within the exchange is empty, as in PostgreSQL: the startup packet has it.

export const SCRAM_SHA_256_NAME = 'SCRAM-SHA-256';
/** scram-common.h */
export const SCRAM_SHA_256_DEFAULT_ITERATIONS = 4096;
export const SCRAM_RAW_NONCE_BYTES = 18;
export const SCRAM_DEFAULT_SALT_BYTES = 16;
const KEY_BYTES = 32;
const SQLSTATE_INVALID_PASSWORD = '28P01';
/** The other side chooses how much work the password is: some 0.1 s at the most. */
const ITERATIONS_MAX = 200_000;

/** What a server keeps of a password (pg_authid.rolpassword). */
export interface ScramSecret {
  readonly iterations: number;
  readonly salt: Uint8Array;
  readonly storedKey: Uint8Array;
  readonly serverKey: Uint8Array;
}

/** What a client remembers from its final message until the server's. */
export interface ScramClientFinal {
  readonly message: string;
  readonly serverSignature: Uint8Array;
}

/** What a server remembers from its first message until the client's final one. */
export interface ScramServerFirst {
  readonly message: string;
  readonly secret: ScramSecret;
  readonly gs2Header: string;
  readonly nonce: string;
  /** client-first-message-bare, a comma, and the message. */
  readonly signedSoFar: string;
}

const hmac = (key: Uint8Array, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
const exclusiveOr = (left: Uint8Array, right: Uint8Array): Buffer =>
  Buffer.from(left.map((byte, index) => byte ^ (right[index] as number)));

function refuse(reason: string): never {
  throw new ProtocolError('BAD_SCRAM_MESSAGE', `malformed SCRAM message: ${reason}`);
}

function decodeBase64(text: string, meaning: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (text === '' || bytes.toString('base64') !== text) refuse(`${meaning} is not base64`);
  return bytes;
}

function parseIterations(text: string): number {
  const iterations = /^[1-9][0-9]{0,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(iterations <= ITERATIONS_MAX)) {
    refuse(`"${text.slice(0, 20)}" is no count of iterations from 1 to ${ITERATIONS_MAX}`);
  }
  return iterations;
}

const NONCE = '[\\x21-\\x2b\\x2d-\\x7e]+';

function checkNonce(nonce: string): void {
  if (!new RegExp(`^${NONCE}$`).test(nonce)) {
    throw new BadRequestError('BAD_NONCE', 'a nonce has printable ASCII characters other than the comma');
  }
}

/** SASLprep leaves printable ASCII as it is. What it makes of other characters is not known here, so they are refused. */
function derivePasswordKey(password: string, salt: Uint8Array, iterations: number): Buffer {
  if (/[^ -~]/.test(password)) {
    throw new BadRequestError(
      'UNSUPPORTED_PASSWORD',
      'only passwords of printable ASCII characters are supported',
    );
  }
  return pbkdf2Sync(password, salt, iterations, KEY_BYTES, 'sha256');
}

/** What a server is to keep of this password. */
export function deriveScramSecret(password: string, salt: Uint8Array, iterations: number): ScramSecret {
  const passwordKey = derivePasswordKey(password, salt, parseIterations(String(iterations)));
  const storedKey = sha256(hmac(passwordKey, 'Client Key'));
  return { iterations, salt, storedKey, serverKey: hmac(passwordKey, 'Server Key') };
}

/** `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, as PostgreSQL stores it (scram_build_secret). */
export function formatScramSecret({ iterations, salt, storedKey, serverKey }: ScramSecret): string {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return `${SCRAM_SHA_256_NAME}$${iterations}:${base64(salt)}$${base64(storedKey)}:${base64(serverKey)}`;
}

/** @throws ProtocolError where it is no such secret; its text is not repeated */
export function parseScramSecret(text: string): ScramSecret {
  const match = /^SCRAM-SHA-256\$([0-9]+):([^$:]+)\$([^$:]+):([^$:]+)$/.exec(text);
  if (match === null) return refuse('this is not a stored secret');
  const [, iterations = '', salt = '', stored = '', server = ''] = match;
  const storedKey = decodeBase64(stored, 'the stored key');
  const serverKey = decodeBase64(server, 'the server key');
  if (storedKey.length !== KEY_BYTES || serverKey.length !== KEY_BYTES) refuse('a key has not 32 bytes');
  return {
    iterations: parseIterations(iterations),
    salt: decodeBase64(salt, 'the salt'),
    storedKey,
    serverKey,
  };
}

const bareClientFirst = (clientNonce: string): string => `n=,r=${clientNonce}`;

/** Client: the first message. The nonce is random, and new for every connection. */
export function scramClientFirst(clientNonce: string): string {
  checkNonce(clientNonce);
  return `n,,${bareClientFirst(clientNonce)}`;
}

/**
 * Client: the answer to the server's first message, which proves that we know the password.
 * @throws ProtocolError where the server's message is malformed or not an answer to this nonce
 */
export function scramClientFinal(
  password: string,
  clientNonce: string,
  serverFirst: string,
): ScramClientFinal {
  const match = new RegExp(`^r=(${NONCE}),s=([^,]+),i=([^,]+)$`).exec(serverFirst);
  if (match === null) return refuse('the first one of the server');
  const [, nonce = '', salt = '', iterations = ''] = match;
  if (!nonce.startsWith(clientNonce) || nonce.length === clientNonce.length) {
    return refuse('the server answers to another nonce');
  }
  const saltBytes = decodeBase64(salt, 'the salt');
  const passwordKey = derivePasswordKey(password, saltBytes, parseIterations(iterations));
  const clientKey = hmac(passwordKey, 'Client Key');
  const withoutProof = `c=${Buffer.from('n,,').toString('base64')},r=${nonce}`;
  const signed = `${bareClientFirst(clientNonce)},${serverFirst},${withoutProof}`;
  const proof = exclusiveOr(clientKey, hmac(sha256(clientKey), signed));
  return {
    message: `${withoutProof},p=${proof.toString('base64')}`,
    serverSignature: hmac(hmac(passwordKey, 'Server Key'), signed),
  };
}

/** Client: checks the server's last message, which proves that it knows us. Throws a ProtocolError if it does not. */
export function checkScramServerFinal(final: ScramClientFinal, serverFinal: string): void {
  const signature = /^v=([^,]+)$/.exec(serverFinal)?.[1];
  if (signature === undefined) refuse('the last one of the server');
  const bytes = decodeBase64(signature, "the server's signature");
  if (bytes.length !== KEY_BYTES || !timingSafeEqual(bytes, final.serverSignature)) {
    throw new ProtocolError('BAD_SERVER_SIGNATURE', 'the server does not prove that it knows the password');
  }
}

/**
 * Server: the answer to the client's first message.
 * @throws ProtocolError where that is malformed or asks for channel binding or another identity
 */
export function scramServerFirst(
  secret: ScramSecret,
  clientFirst: string,
  serverNonce: string,
): ScramServerFirst {
  checkNonce(serverNonce);
  const match = new RegExp(`^([ny],,)(n=[^,]*,r=(${NONCE}))$`).exec(clientFirst);
  if (match === null) return refuse('the first one of the client, or it asks for what is not supported');
  const [, gs2Header = '', bare = '', clientNonce = ''] = match;
  const nonce = clientNonce + serverNonce;
  const salt = Buffer.from(secret.salt).toString('base64');
  const message = `r=${nonce},s=${salt},i=${secret.iterations}`;
  return { message, secret, gs2Header, nonce, signedSoFar: `${bare},${message}` };
}

/**
 * Server: checks the client's proof, and gives the server's last message.
 * @throws CommandError with SQLSTATE 28P01 for a wrong password, ProtocolError for a malformed message
 */
export function scramServerFinal(first: ScramServerFirst, clientFinal: string): string {
  const match = /^(c=([^,]+),r=([^,]+)),p=([^,]+)$/.exec(clientFinal);
  if (match === null) return refuse('the last one of the client');
  const [, withoutProof = '', binding = '', nonce = '', proofText = ''] = match;
  if (binding !== Buffer.from(first.gs2Header).toString('base64'))
    refuse('its header is not that of the first one');
  if (nonce !== first.nonce) refuse('it answers to another nonce');
  const proof = decodeBase64(proofText, 'the proof');
  if (proof.length !== KEY_BYTES) refuse('the proof has not 32 bytes');
  const { storedKey, serverKey } = first.secret;
  const signed = `${first.signedSoFar},${withoutProof}`;
  const clientKey = exclusiveOr(proof, hmac(storedKey, signed));
  if (!timingSafeEqual(sha256(clientKey), storedKey)) {
    throw new CommandError('WRONG_PASSWORD', 'password authentication failed', SQLSTATE_INVALID_PASSWORD);
  }
  return `v=${hmac(serverKey, signed).toString('base64')}`;
}
