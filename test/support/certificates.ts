import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';
import type { ServerIdentity } from '../../src/io/sockets.ts';

// Tags of ASN.1 (X.690): those of X.509 certificates.
const BOOLEAN = 0x01;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;
const SEQUENCE = 0x30;
const SET = 0x31;
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;
const EXPLICIT_0 = 0xa0;
const EXPLICIT_3 = 0xa3;

const ECDSA_WITH_SHA256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const COMMON_NAME = [0x55, 0x04, 0x03];
const SUBJECT_ALTERNATIVE_NAME = [0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS = [0x55, 0x1d, 0x13];

const DAY_MS = 86_400_000;

/** One element: tag, length, contents. */
function element(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  const { length } = body;
  if (length < 0x80) return Buffer.concat([Uint8Array.of(tag, length), body]);
  const lengthBytes = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Uint8Array.of(tag, ...lengthBytes), body]);
}

const objectIdentifier = (bytes: readonly number[]): Buffer =>
  element(OBJECT_IDENTIFIER, Uint8Array.from(bytes));

const distinguishedName = (name: string): Buffer =>
  element(
    SEQUENCE,
    element(SET, element(SEQUENCE, objectIdentifier(COMMON_NAME), element(UTF8_STRING, Buffer.from(name)))),
  );

/** `yymmddhhmmssZ`. */
const utcTime = (timeMs: number): Buffer =>
  element(UTC_TIME, Buffer.from(`${new Date(timeMs).toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`));

const alternativeName = (name: string): Buffer =>
  isIPv4(name)
    ? element(IP_ADDRESS, Uint8Array.from(name.split('.').map(Number)))
    : element(DNS_NAME, Buffer.from(name));

/**
 * Makes a key and a certificate that it has signed itself (RFC 5280), which is its own authority.
 *
 * @param names DNS names and IPv4 addresses that it is for
 * @param validForDays counted from an hour ago; negative for one that has expired
 */
export function makeSelfSigned(names: readonly string[], validForDays = 2): ServerIdentity {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = element(SEQUENCE, objectIdentifier(ECDSA_WITH_SHA256));
  const name = distinguishedName('varve test');
  const endMs = Date.now() - DAY_MS / 24 + validForDays * DAY_MS;
  const serial = randomBytes(8);
  serial[0] = 0x40 | (serial[0]! & 0x3f);
  const extensions = element(
    SEQUENCE,
    element(
      SEQUENCE,
      objectIdentifier(BASIC_CONSTRAINTS),
      element(BOOLEAN, Uint8Array.of(0xff)),
      element(OCTET_STRING, element(SEQUENCE, element(BOOLEAN, Uint8Array.of(0xff)))),
    ),
    element(
      SEQUENCE,
      objectIdentifier(SUBJECT_ALTERNATIVE_NAME),
      element(OCTET_STRING, element(SEQUENCE, ...names.map(alternativeName))),
    ),
  );
  const toBeSigned = element(
    SEQUENCE,
    element(EXPLICIT_0, element(INTEGER, Uint8Array.of(2))),
    element(INTEGER, serial),
    algorithm,
    name,
    element(SEQUENCE, utcTime(Math.min(Date.now() - DAY_MS / 24, endMs - DAY_MS)), utcTime(endMs)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    element(EXPLICIT_3, extensions),
  );
  const signature = Buffer.concat([Uint8Array.of(0), sign('sha256', toBeSigned, privateKey)]);
  const certificate = element(SEQUENCE, toBeSigned, algorithm, element(BIT_STRING, signature));
  return {
    certificate: toPem(certificate),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** No line may be empty, also where the last one is full: OpenSSL refuses that. */
export function toPem(certificate: Uint8Array): string {
  const lines =
    Buffer.from(certificate)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}
