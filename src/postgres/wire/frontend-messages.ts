import { type BodyLimits, makeBodyLimits, SMALL_BODY_BYTES_MAX } from './framing.ts';
import {
  bareMessage,
  type FormatCode,
  type MessageCodec,
  type MessageCodecs,
  MessageTable,
  readFormat,
  writeFormat,
} from './message-codec.ts';
import type { MessageReader } from './message-reader.ts';
import type { MessageWriter } from './message-writer.ts';

export type NamedObject = 'statement' | 'portal';

/** What a client sends after its startup packet. Byte strings of a decoded message are copies. */
export type FrontendMessage =
  /** A password, or a step of SASL: only who asked knows which (see authentication-response.ts). */
  | { readonly kind: 'AuthenticationResponse'; readonly data: Uint8Array }
  | {
      readonly kind: 'Bind';
      readonly portal: string;
      readonly statement: string;
      /** None: all are text. One: it holds for all parameters. Else one for each. */
      readonly parameterFormats: readonly FormatCode[];
      readonly parameters: readonly (Uint8Array | null)[];
      /** As parameterFormats, for the columns of the result. */
      readonly resultFormats: readonly FormatCode[];
    }
  | { readonly kind: 'Close'; readonly target: NamedObject; readonly name: string }
  | { readonly kind: 'CopyData'; readonly data: Uint8Array }
  | { readonly kind: 'CopyDone' }
  | { readonly kind: 'CopyFail'; readonly reason: string }
  | { readonly kind: 'Describe'; readonly target: NamedObject; readonly name: string }
  /** `rowsMax` 0: all rows. */
  | { readonly kind: 'Execute'; readonly portal: string; readonly rowsMax: number }
  | { readonly kind: 'Flush' }
  | {
      readonly kind: 'Parse';
      readonly statement: string;
      readonly query: string;
      /** 0 leaves a type to the server. */
      readonly parameterTypeOids: readonly number[];
    }
  | { readonly kind: 'Query'; readonly query: string }
  | { readonly kind: 'Sync' }
  | { readonly kind: 'Terminate' };

function readTarget(reader: MessageReader): NamedObject {
  const letter = reader.u8();
  if (letter === 0x53) return 'statement';
  if (letter === 0x50) return 'portal';
  return reader.refuse(`${letter} is neither a statement nor a portal`);
}

function writeTarget(writer: MessageWriter, target: NamedObject): MessageWriter {
  return writer.u8(target === 'statement' ? 0x53 : 0x50);
}

type Bind = Extract<FrontendMessage, { kind: 'Bind' }>;

const bind: MessageCodec<Bind> = {
  tag: 'B',
  decode: (reader) => {
    const portal = reader.cString();
    const statement = reader.cString();
    const parameterFormats = reader.items(2, () => readFormat(reader));
    const parameters = reader.items(4, () => reader.nullableBytes());
    const resultFormats = reader.items(2, () => readFormat(reader));
    // postgres.c, exec_bind_message
    if (parameterFormats.length > 1 && parameterFormats.length !== parameters.length) {
      reader.refuse(`${parameterFormats.length} formats for ${parameters.length} parameters`);
    }
    return { kind: 'Bind', portal, statement, parameterFormats, parameters, resultFormats };
  },
  encode: (writer, message) =>
    writer
      .cString(message.portal)
      .cString(message.statement)
      .items(message.parameterFormats, (format) => writeFormat(writer, format))
      .items(message.parameters, (parameter) => writer.nullableBytes(parameter))
      .items(message.resultFormats, (format) => writeFormat(writer, format)),
};

const CODECS: MessageCodecs<FrontendMessage> = {
  AuthenticationResponse: {
    tag: 'p',
    decode: (reader) => ({ kind: 'AuthenticationResponse', data: reader.rest() }),
    encode: (writer, { data }) => writer.byteString(data),
  },
  Bind: bind,
  Close: {
    tag: 'C',
    decode: (reader) => ({ kind: 'Close', target: readTarget(reader), name: reader.cString() }),
    encode: (writer, { target, name }) => writeTarget(writer, target).cString(name),
  },
  CopyData: {
    tag: 'd',
    decode: (reader) => ({ kind: 'CopyData', data: reader.rest() }),
    encode: (writer, { data }) => writer.byteString(data),
  },
  CopyDone: bareMessage('c', 'CopyDone'),
  CopyFail: {
    tag: 'f',
    decode: (reader) => ({ kind: 'CopyFail', reason: reader.cString() }),
    encode: (writer, { reason }) => writer.cString(reason),
  },
  Describe: {
    tag: 'D',
    decode: (reader) => ({ kind: 'Describe', target: readTarget(reader), name: reader.cString() }),
    encode: (writer, { target, name }) => writeTarget(writer, target).cString(name),
  },
  Execute: {
    tag: 'E',
    decode: (reader) => {
      const portal = reader.cString();
      // Less than one row stands for all of them (postgres.c, exec_execute_message).
      return { kind: 'Execute', portal, rowsMax: Math.max(0, reader.i32()) };
    },
    encode: (writer, { portal, rowsMax }) => writer.cString(portal).i32(rowsMax),
  },
  Flush: bareMessage('H', 'Flush'),
  Parse: {
    tag: 'P',
    decode: (reader) => {
      const statement = reader.cString();
      const query = reader.cString();
      const parameterTypeOids = reader.items(4, () => reader.u32());
      return { kind: 'Parse', statement, query, parameterTypeOids };
    },
    encode: (writer, { statement, query, parameterTypeOids }) =>
      writer
        .cString(statement)
        .cString(query)
        .items(parameterTypeOids, (oid) => writer.u32(oid)),
  },
  Query: {
    tag: 'Q',
    decode: (reader) => ({ kind: 'Query', query: reader.cString() }),
    encode: (writer, { query }) => writer.cString(query),
  },
  Sync: bareMessage('S', 'Sync'),
  Terminate: bareMessage('X', 'Terminate'),
};

const MESSAGES = new MessageTable<FrontendMessage>(CODECS);

/**
 * Decodes a client's message as a FrameCutter shows it. CopyData of replication is better read in place
 * (replication-messages.ts).
 * @throws ProtocolError for a message that is unknown, cut short, too long, or holds an unknown value
 */
export function decodeFrontendMessage(
  tag: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
): FrontendMessage {
  return MESSAGES.decode(tag, bytes, offset, length);
}

/** Appends the message, header and all. */
export function writeFrontendMessage(writer: MessageWriter, message: FrontendMessage): void {
  MESSAGES.write(writer, message);
}

/** What a server lets its clients send. Queries, parameters and copied data may have `bodyBytesMax`. */
export function frontendBodyLimits(bodyBytesMax: number): BodyLimits {
  return makeBodyLimits('XCDEHScfp', 'QPBd', bodyBytesMax);
}

/**
 * What a server lets a client send that has not proved yet who it is: nothing but that. Only Kerberos, which is not
 * spoken here, needs more than a small message (auth.c, PG_MAX_AUTH_TOKEN_LENGTH).
 */
export function authenticationBodyLimits(): BodyLimits {
  return makeBodyLimits('p', '', SMALL_BODY_BYTES_MAX);
}
