import { createHash } from 'node:crypto';
import { MessageReader } from './message-reader.ts';
import { MessageWriter } from './message-writer.ts';

const TAG = 0x70;

/** A SASLInitialResponse: the mechanism that the client picks, and its first message, which may be missing. */
export interface SaslInitialResponse {
  readonly mechanism: string;
  readonly response: Uint8Array | null;
}

/**
 * The password or token in the data of an AuthenticationResponse that answers AuthenticationCleartextPassword or
 * AuthenticationMD5Password.
 * @throws ProtocolError where it is no string
 */
export function decodePassword(data: Uint8Array): string {
  const reader = new MessageReader(TAG, data, 0, data.length);
  const password = reader.cString();
  reader.expectEnd();
  return password;
}

/** The data of an AuthenticationResponse with a password or token. */
export function encodePassword(password: string): Uint8Array {
  return new MessageWriter().cString(password).take();
}

/** The data of an AuthenticationResponse that answers AuthenticationMD5Password (md5_common.c, pg_md5_encrypt). */
export function encodeMd5Password(password: string, user: string, salt: Uint8Array): Uint8Array {
  const stored = createHash('md5').update(`${password}${user}`, 'utf8').digest('hex');
  const answer = createHash('md5').update(stored, 'latin1').update(salt).digest('hex');
  return encodePassword(`md5${answer}`);
}

/**
 * The data of the AuthenticationResponse that answers AuthenticationSASL. The later ones, to
 * AuthenticationSASLContinue, are the mechanism's own bytes as they are.
 */
export function decodeSaslInitialResponse(data: Uint8Array): SaslInitialResponse {
  const reader = new MessageReader(TAG, data, 0, data.length);
  const mechanism = reader.cString();
  const response = reader.nullableBytes();
  reader.expectEnd();
  return { mechanism, response };
}

export function encodeSaslInitialResponse({ mechanism, response }: SaslInitialResponse): Uint8Array {
  return new MessageWriter().cString(mechanism).nullableBytes(response).take();
}
