import type { MessageReader } from './message-reader.ts';
import type { MessageWriter } from './message-writer.ts';

/** protocol.h: what the number at the beginning of a server's `R` message says. */
export const AUTH_REQ_OK = 0;
export const AUTH_REQ_PASSWORD = 3;
export const AUTH_REQ_MD5 = 5;
export const AUTH_REQ_SASL = 10;
export const AUTH_REQ_SASL_CONT = 11;
export const AUTH_REQ_SASL_FIN = 12;

const MD5_SALT_BYTES = 4;
/** Those that are refused by name. */
const OTHER_METHODS: Readonly<Record<number, string>> = {
  1: 'Kerberos V4',
  2: 'Kerberos V5',
  4: 'crypt',
  6: 'SCM credentials',
  7: 'GSSAPI',
  8: 'GSSAPI',
  9: 'SSPI',
};

/** What a server asks of its client, or tells it, while that proves who it is. */
export type AuthenticationRequest =
  | { readonly method: 'Ok' }
  | { readonly method: 'CleartextPassword' }
  | { readonly method: 'MD5Password'; readonly salt: Uint8Array }
  /** The names of the mechanisms that the server takes, the best first. */
  | { readonly method: 'SASL'; readonly mechanisms: readonly string[] }
  | { readonly method: 'SASLContinue'; readonly data: Uint8Array }
  | { readonly method: 'SASLFinal'; readonly data: Uint8Array };

export function readAuthenticationRequest(reader: MessageReader): AuthenticationRequest {
  const code = reader.u32();
  switch (code) {
    case AUTH_REQ_OK:
      return { method: 'Ok' };
    case AUTH_REQ_PASSWORD:
      return { method: 'CleartextPassword' };
    case AUTH_REQ_MD5:
      return { method: 'MD5Password', salt: reader.byteString(MD5_SALT_BYTES) };
    case AUTH_REQ_SASL: {
      const mechanisms: string[] = [];
      for (let name = reader.cString(); name !== ''; name = reader.cString()) mechanisms.push(name);
      return { method: 'SASL', mechanisms };
    }
    case AUTH_REQ_SASL_CONT:
      return { method: 'SASLContinue', data: reader.rest() };
    case AUTH_REQ_SASL_FIN:
      return { method: 'SASLFinal', data: reader.rest() };
  }
  return reader.refuse(`the authentication method ${OTHER_METHODS[code] ?? code} is not spoken here`);
}

export function writeAuthenticationRequest(writer: MessageWriter, request: AuthenticationRequest): void {
  switch (request.method) {
    case 'Ok':
      writer.u32(AUTH_REQ_OK);
      break;
    case 'CleartextPassword':
      writer.u32(AUTH_REQ_PASSWORD);
      break;
    case 'MD5Password':
      writer.u32(AUTH_REQ_MD5).byteString(request.salt);
      break;
    case 'SASL':
      writer.u32(AUTH_REQ_SASL);
      for (const mechanism of request.mechanisms) writer.cString(mechanism);
      writer.u8(0);
      break;
    case 'SASLContinue':
      writer.u32(AUTH_REQ_SASL_CONT).byteString(request.data);
      break;
    case 'SASLFinal':
      writer.u32(AUTH_REQ_SASL_FIN).byteString(request.data);
  }
}
