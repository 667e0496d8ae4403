import { STARTUP_BYTES_MAX, STARTUP_TAG } from './framing.ts';
import { MessageReader } from './message-reader.ts';
import { MessageWriter } from './message-writer.ts';
import {
  CommandError,
  formatTag,
  ProtocolError,
  SQLSTATE_FEATURE_NOT_SUPPORTED,
  SQLSTATE_INVALID_PARAMETER_VALUE,
} from './wire-error.ts';

/** pqcomm.h: the codes that stand where a protocol version would. */
export const CANCEL_REQUEST_CODE: number = 1234 * 65536 + 5678;
export const NEGOTIATE_SSL_CODE: number = 1234 * 65536 + 5679;
export const NEGOTIATE_GSS_CODE: number = 1234 * 65536 + 5680;

export const PROTOCOL_3_0: number = 3 * 65536;
/** PostgreSQL 18: like 3.0, but with cancel keys of up to 256 bytes. */
export const PROTOCOL_3_2: number = 3 * 65536 + 2;
/** Cancel keys have 4 bytes in protocol 3.0. */
export const CANCEL_KEY_BYTES_MIN = 4;
export const CANCEL_KEY_BYTES_MAX = 256;
/** Names with this prefix are options of the protocol itself, not settings of the server. */
export const PROTOCOL_OPTION_PREFIX = '_pq_.';

export type StartupPacket =
  | { readonly kind: 'SslRequest' }
  | { readonly kind: 'GssEncRequest' }
  | { readonly kind: 'CancelRequest'; readonly processId: number; readonly secretKey: Uint8Array }
  | {
      readonly kind: 'Startup';
      /** Major version times 65536 plus minor version. */
      readonly protocolVersion: number;
      /** By name. A name that is sent twice has its last value, as in PostgreSQL. */
      readonly parameters: ReadonlyMap<string, string>;
    };

/**
 * Decodes the body of a startup packet (what follows its length word).
 * @throws ProtocolError where it is no such packet; with SQLSTATE 0A000 for a protocol other than 3
 */
export function decodeStartupPacket(bytes: Uint8Array, offset: number, length: number): StartupPacket {
  const reader = new MessageReader(STARTUP_TAG, bytes, offset, length);
  const code = reader.u32();
  switch (code) {
    case NEGOTIATE_SSL_CODE:
      reader.expectEnd();
      return { kind: 'SslRequest' };
    case NEGOTIATE_GSS_CODE:
      reader.expectEnd();
      return { kind: 'GssEncRequest' };
    case CANCEL_REQUEST_CODE: {
      const processId = reader.i32();
      const secretKey = reader.rest();
      if (secretKey.length < CANCEL_KEY_BYTES_MIN || secretKey.length > CANCEL_KEY_BYTES_MAX) {
        reader.refuse(`a cancel key of ${secretKey.length} bytes`);
      }
      return { kind: 'CancelRequest', processId, secretKey };
    }
  }
  if (Math.floor(code / 65536) !== 3) {
    throw new ProtocolError(
      'UNSUPPORTED_PROTOCOL',
      `the protocol ${formatProtocolVersion(code)} is not spoken here: 3.0 to 3.2 are`,
      undefined,
      SQLSTATE_FEATURE_NOT_SUPPORTED,
    );
  }
  const parameters = new Map<string, string>();
  for (let name = reader.cString(); name !== ''; name = reader.cString())
    parameters.set(name, reader.cString());
  reader.expectEnd();
  return { kind: 'Startup', protocolVersion: code, parameters };
}

/** The whole packet, with its length word. Throws a CommandError if it is longer than any server takes. */
export function encodeStartupPacket(packet: StartupPacket): Uint8Array {
  const writer = new MessageWriter().begin();
  switch (packet.kind) {
    case 'SslRequest':
      writer.u32(NEGOTIATE_SSL_CODE);
      break;
    case 'GssEncRequest':
      writer.u32(NEGOTIATE_GSS_CODE);
      break;
    case 'CancelRequest':
      writer.u32(CANCEL_REQUEST_CODE).i32(packet.processId).byteString(packet.secretKey);
      break;
    case 'Startup':
      writer.u32(packet.protocolVersion);
      for (const [name, value] of packet.parameters) {
        if (name === '') {
          throw new CommandError(
            'BAD_PARAMETER',
            'a parameter has no name',
            SQLSTATE_INVALID_PARAMETER_VALUE,
          );
        }
        writer.cString(name).cString(value);
      }
      writer.u8(0);
  }
  if (writer.length > STARTUP_BYTES_MAX) {
    throw new CommandError(
      'STARTUP_TOO_LONG',
      `a startup packet of ${writer.length} bytes: ${STARTUP_BYTES_MAX} are allowed`,
      SQLSTATE_INVALID_PARAMETER_VALUE,
    );
  }
  return writer.end().take();
}

/** `3.2`. */
export function formatProtocolVersion(version: number): string {
  return `${Math.floor(version / 65536)}.${version % 65536}`;
}

export interface NegotiatedProtocol {
  readonly protocolVersion: number;
  /** Protocol options of the client that mean nothing here. */
  readonly unrecognizedOptions: readonly string[];
  /** Whether the client has to be told by a NegotiateProtocolVersion before anything else. */
  readonly mustTell: boolean;
}

/**
 * What a server of protocol 3.0 and 3.2 answers to a startup packet of major version 3: the highest version that both
 * know, which is below the asked one where that is newer or, like 3.1, was never given out.
 */
export function negotiateProtocol(
  askedVersion: number,
  parameterNames: Iterable<string>,
): NegotiatedProtocol {
  const protocolVersion = askedVersion >= PROTOCOL_3_2 ? PROTOCOL_3_2 : PROTOCOL_3_0;
  const unrecognizedOptions = [...parameterNames].filter((name) => name.startsWith(PROTOCOL_OPTION_PREFIX));
  const mustTell = protocolVersion !== askedVersion || unrecognizedOptions.length > 0;
  return { protocolVersion, unrecognizedOptions, mustTell };
}

/**
 * What a server answers with one byte to an SSLRequest or GSSENCRequest: whether it grants it. Whatever comes with a
 * refusal in clear text, such as an error, is nobody's word (libpq, CVE-2024-10977).
 */
export function decodeEncryptionAnswer(asked: 'SslRequest' | 'GssEncRequest', answer: number): boolean {
  if (answer === (asked === 'SslRequest' ? 0x53 : 0x47)) return true;
  if (answer === 0x4e) return false;
  throw new ProtocolError('BAD_ENCRYPTION_ANSWER', `the server answers ${formatTag(answer)} to the ${asked}`);
}
