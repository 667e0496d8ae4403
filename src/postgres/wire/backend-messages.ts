import {
  type AuthenticationRequest,
  readAuthenticationRequest,
  writeAuthenticationRequest,
} from './authentication-request.ts';
import { type ErrorFields, readErrorFields, writeErrorFields } from './error-fields.ts';
import { type BodyLimits, makeBodyLimits } from './framing.ts';
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
import { CANCEL_KEY_BYTES_MAX, CANCEL_KEY_BYTES_MIN } from './startup.ts';

/** Shortest field of a RowDescription: an empty name and 18 bytes. */
const FIELD_DESCRIPTION_BYTES_MIN = 19;

/** A column of a result. */
export interface FieldDescription {
  readonly name: string;
  /** 0 where the column is not one of a table. */
  readonly tableOid: number;
  readonly columnNumber: number;
  readonly typeOid: number;
  /** Bytes; below zero for types of variable length. */
  readonly typeSize: number;
  /** -1 for none. */
  readonly typeModifier: number;
  readonly format: FormatCode;
}

/** In no transaction, in one, or in one that has failed. */
export type TransactionStatus = 'idle' | 'in-transaction' | 'failed';

interface CopyResponse<Kind extends string> {
  readonly kind: Kind;
  readonly format: FormatCode;
  readonly columnFormats: readonly FormatCode[];
}

/** What a server sends. Byte strings of a decoded message are copies; texts are for people, of any encoding. */
export type BackendMessage =
  | { readonly kind: 'Authentication'; readonly request: AuthenticationRequest }
  | { readonly kind: 'BackendKeyData'; readonly processId: number; readonly secretKey: Uint8Array }
  | { readonly kind: 'BindComplete' }
  | { readonly kind: 'CloseComplete' }
  | { readonly kind: 'CommandComplete'; readonly commandTag: string }
  | CopyResponse<'CopyBothResponse'>
  | { readonly kind: 'CopyData'; readonly data: Uint8Array }
  | { readonly kind: 'CopyDone' }
  | CopyResponse<'CopyInResponse'>
  | CopyResponse<'CopyOutResponse'>
  | { readonly kind: 'DataRow'; readonly values: readonly (Uint8Array | null)[] }
  | { readonly kind: 'EmptyQueryResponse' }
  | { readonly kind: 'ErrorResponse'; readonly fields: ErrorFields }
  | {
      readonly kind: 'NegotiateProtocolVersion';
      /** The newest that the server speaks of the major version that was asked for. */
      readonly protocolVersion: number;
      readonly unrecognizedOptions: readonly string[];
    }
  | { readonly kind: 'NoData' }
  | { readonly kind: 'NoticeResponse'; readonly fields: ErrorFields }
  | {
      readonly kind: 'NotificationResponse';
      readonly processId: number;
      readonly channel: string;
      readonly payload: string;
    }
  | { readonly kind: 'ParameterDescription'; readonly typeOids: readonly number[] }
  | { readonly kind: 'ParameterStatus'; readonly name: string; readonly value: string }
  | { readonly kind: 'ParseComplete' }
  | { readonly kind: 'PortalSuspended' }
  | { readonly kind: 'ReadyForQuery'; readonly status: TransactionStatus }
  | { readonly kind: 'RowDescription'; readonly fields: readonly FieldDescription[] };

function copyResponse<Kind extends string>(tag: string, kind: Kind): MessageCodec<CopyResponse<Kind>> {
  return {
    tag,
    decode: (reader) => {
      const code = reader.u8();
      if (code > 1) reader.refuse(`the format ${code} is unknown`);
      const columnFormats = reader.items(2, () => readFormat(reader));
      return { kind, format: code === 0 ? 'text' : 'binary', columnFormats };
    },
    encode: (writer, { format, columnFormats }) =>
      writer
        .u8(format === 'text' ? 0 : 1)
        .items(columnFormats, (columnFormat) => writeFormat(writer, columnFormat)),
  };
}

const readField = (reader: MessageReader): FieldDescription => ({
  name: reader.displayString(),
  tableOid: reader.u32(),
  columnNumber: reader.i16(),
  typeOid: reader.u32(),
  typeSize: reader.i16(),
  typeModifier: reader.i32(),
  format: readFormat(reader),
});

function writeField(writer: MessageWriter, field: FieldDescription): void {
  writer.cString(field.name).u32(field.tableOid).i16(field.columnNumber);
  writer.u32(field.typeOid).i16(field.typeSize).i32(field.typeModifier);
  writeFormat(writer, field.format);
}

const STATUS_LETTERS: Readonly<Record<TransactionStatus, number>> = {
  idle: 0x49,
  'in-transaction': 0x54,
  failed: 0x45,
};

function readStatus(reader: MessageReader): TransactionStatus {
  const letter = reader.u8();
  for (const status of ['idle', 'in-transaction', 'failed'] as const) {
    if (STATUS_LETTERS[status] === letter) return status;
  }
  return reader.refuse(`the transaction status ${letter} is unknown`);
}

type BackendKeyData = Extract<BackendMessage, { kind: 'BackendKeyData' }>;
type NegotiateProtocolVersion = Extract<BackendMessage, { kind: 'NegotiateProtocolVersion' }>;

const backendKeyData: MessageCodec<BackendKeyData> = {
  tag: 'K',
  decode: (reader) => {
    const processId = reader.i32();
    const secretKey = reader.rest();
    if (secretKey.length < CANCEL_KEY_BYTES_MIN || secretKey.length > CANCEL_KEY_BYTES_MAX) {
      reader.refuse(`a cancel key of ${secretKey.length} bytes`);
    }
    return { kind: 'BackendKeyData', processId, secretKey };
  },
  encode: (writer, { processId, secretKey }) => writer.i32(processId).byteString(secretKey),
};

const negotiateProtocolVersion: MessageCodec<NegotiateProtocolVersion> = {
  tag: 'v',
  decode: (reader) => {
    const protocolVersion = reader.u32();
    const count = reader.u32();
    if (count > reader.remaining) reader.refuse(`it announces ${count} options, more than it can hold`);
    const unrecognizedOptions = Array.from({ length: count }, () => reader.displayString());
    return { kind: 'NegotiateProtocolVersion', protocolVersion, unrecognizedOptions };
  },
  encode: (writer, { protocolVersion, unrecognizedOptions }) => {
    writer.u32(protocolVersion).u32(unrecognizedOptions.length);
    for (const option of unrecognizedOptions) writer.cString(option);
  },
};

const CODECS: MessageCodecs<BackendMessage> = {
  Authentication: {
    tag: 'R',
    decode: (reader) => ({ kind: 'Authentication', request: readAuthenticationRequest(reader) }),
    encode: (writer, { request }) => writeAuthenticationRequest(writer, request),
  },
  BackendKeyData: backendKeyData,
  BindComplete: bareMessage('2', 'BindComplete'),
  CloseComplete: bareMessage('3', 'CloseComplete'),
  CommandComplete: {
    tag: 'C',
    decode: (reader) => ({ kind: 'CommandComplete', commandTag: reader.displayString() }),
    encode: (writer, { commandTag }) => writer.cString(commandTag),
  },
  CopyBothResponse: copyResponse('W', 'CopyBothResponse'),
  CopyData: {
    tag: 'd',
    decode: (reader) => ({ kind: 'CopyData', data: reader.rest() }),
    encode: (writer, { data }) => writer.byteString(data),
  },
  CopyDone: bareMessage('c', 'CopyDone'),
  CopyInResponse: copyResponse('G', 'CopyInResponse'),
  CopyOutResponse: copyResponse('H', 'CopyOutResponse'),
  DataRow: {
    tag: 'D',
    decode: (reader) => ({ kind: 'DataRow', values: reader.items(4, () => reader.nullableBytes()) }),
    encode: (writer, { values }) => writer.items(values, (value) => writer.nullableBytes(value)),
  },
  EmptyQueryResponse: bareMessage('I', 'EmptyQueryResponse'),
  ErrorResponse: {
    tag: 'E',
    decode: (reader) => ({ kind: 'ErrorResponse', fields: readErrorFields(reader) }),
    encode: (writer, { fields }) => writeErrorFields(writer, fields),
  },
  NegotiateProtocolVersion: negotiateProtocolVersion,
  NoData: bareMessage('n', 'NoData'),
  NoticeResponse: {
    tag: 'N',
    decode: (reader) => ({ kind: 'NoticeResponse', fields: readErrorFields(reader) }),
    encode: (writer, { fields }) => writeErrorFields(writer, fields),
  },
  NotificationResponse: {
    tag: 'A',
    decode: (reader) => {
      const processId = reader.i32();
      const channel = reader.displayString();
      return { kind: 'NotificationResponse', processId, channel, payload: reader.displayString() };
    },
    encode: (writer, { processId, channel, payload }) =>
      writer.i32(processId).cString(channel).cString(payload),
  },
  ParameterDescription: {
    tag: 't',
    decode: (reader) => ({ kind: 'ParameterDescription', typeOids: reader.items(4, () => reader.u32()) }),
    encode: (writer, { typeOids }) => writer.items(typeOids, (oid) => writer.u32(oid)),
  },
  ParameterStatus: {
    tag: 'S',
    decode: (reader) => {
      const name = reader.displayString();
      return { kind: 'ParameterStatus', name, value: reader.displayString() };
    },
    encode: (writer, { name, value }) => writer.cString(name).cString(value),
  },
  ParseComplete: bareMessage('1', 'ParseComplete'),
  PortalSuspended: bareMessage('s', 'PortalSuspended'),
  ReadyForQuery: {
    tag: 'Z',
    decode: (reader) => ({ kind: 'ReadyForQuery', status: readStatus(reader) }),
    encode: (writer, { status }) => writer.u8(STATUS_LETTERS[status]),
  },
  RowDescription: {
    tag: 'T',
    decode: (reader) => ({
      kind: 'RowDescription',
      fields: reader.items(FIELD_DESCRIPTION_BYTES_MIN, () => readField(reader)),
    }),
    encode: (writer, { fields }) => writer.items(fields, (field) => writeField(writer, field)),
  },
};

const MESSAGES = new MessageTable<BackendMessage>(CODECS);

/**
 * Decodes a server's message as a FrameCutter shows it. CopyData of replication is better read in place
 * (replication-messages.ts).
 * @throws ProtocolError for a message that is unknown, cut short, too long, or holds an unknown value
 */
export function decodeBackendMessage(
  tag: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
): BackendMessage {
  return MESSAGES.decode(tag, bytes, offset, length);
}

/** Appends the message, header and all. */
export function writeBackendMessage(writer: MessageWriter, message: BackendMessage): void {
  MESSAGES.write(writer, message);
}

/** What a client lets its server send. Rows, copied data and texts may have `bodyBytesMax`. */
export function backendBodyLimits(bodyBytesMax: number): BodyLimits {
  return makeBodyLimits('123cnsCGHIKRWZv', 'ADENSTdt', bodyBytesMax);
}
