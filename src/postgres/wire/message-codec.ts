import { MessageReader } from './message-reader.ts';
import type { MessageWriter } from './message-writer.ts';
import { formatTag, ProtocolError } from './wire-error.ts';

/** Both directions of one kind of message, side by side. */
export interface MessageCodec<Message> {
  readonly tag: string;
  readonly decode: (reader: MessageReader) => Message;
  readonly encode: (writer: MessageWriter, message: Message) => unknown;
}

/** A codec for each kind of message in a union. */
export type MessageCodecs<Message extends { readonly kind: string }> = {
  readonly [Kind in Message['kind']]: MessageCodec<Extract<Message, { readonly kind: Kind }>>;
};

/** A codec of a message that is nothing but its tag. */
export function bareMessage<Kind extends string>(
  tag: string,
  kind: Kind,
): MessageCodec<{ readonly kind: Kind }> {
  return { tag, decode: () => ({ kind }), encode: (writer) => writer };
}

/** The codecs of all messages of one direction: the one decoder of each tag, and the encoder of each kind. */
export class MessageTable<Message extends { readonly kind: string }> {
  readonly #codecs: MessageCodecs<Message>;
  readonly #byTag: (((reader: MessageReader) => Message) | undefined)[] = new Array(256).fill(undefined);

  constructor(codecs: MessageCodecs<Message>) {
    this.#codecs = codecs;
    for (const codec of Object.values(codecs) as MessageCodec<Message>[]) {
      this.#byTag[codec.tag.charCodeAt(0)] = codec.decode;
    }
  }

  /** The message whose body this is. Throws a ProtocolError for an unknown tag and for a body that is not just it. */
  decode(tag: number, bytes: Uint8Array, offset: number, length: number): Message {
    const decode = this.#byTag[tag];
    if (decode === undefined) {
      throw new ProtocolError('UNKNOWN_MESSAGE', `no message has the tag ${formatTag(tag)}`);
    }
    const reader = new MessageReader(tag, bytes, offset, length);
    const message = decode(reader);
    reader.expectEnd();
    return message;
  }

  /** Appends the message, header and all. */
  write(writer: MessageWriter, message: Message): void {
    const codec = this.#codecs[message.kind as Message['kind']] as unknown as MessageCodec<Message>;
    writer.begin(codec.tag.charCodeAt(0));
    codec.encode(writer, message);
    writer.end();
  }
}

export type FormatCode = 'text' | 'binary';

export function readFormat(reader: MessageReader): FormatCode {
  const code = reader.u16();
  if (code > 1) reader.refuse(`the format ${code} is unknown`);
  return code === 0 ? 'text' : 'binary';
}

export function writeFormat(writer: MessageWriter, format: FormatCode): MessageWriter {
  return writer.u16(format === 'text' ? 0 : 1);
}
