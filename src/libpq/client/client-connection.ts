import { AssertionError, VarveError } from '../../base/errors.ts';
import type { Clock } from '../../io/clock.ts';
import type { Connection } from '../../io/sockets.ts';
import {
  type BackendMessage,
  backendBodyLimits,
  decodeBackendMessage,
} from '../../postgres/wire/backend-messages.ts';
import type { ErrorFields } from '../../postgres/wire/error-fields.ts';
import type { FrameCutter } from '../../postgres/wire/framing.ts';
import { type FrontendMessage, writeFrontendMessage } from '../../postgres/wire/frontend-messages.ts';
import { MessageWriter } from '../../postgres/wire/message-writer.ts';
import { ProtocolError } from '../../postgres/wire/wire-error.ts';
import { COPY_DATA_TAG, type CopyEnd, type CopyReceiver, CopyStream } from '../copy-stream.ts';
import { MessageChannel } from '../message-channel.ts';
import { CopyIn } from './copy-in.ts';
import { PostgresError } from './postgres-error.ts';

const LINGER_MS = 1000;
/** Of one result: what asks here gets a few rows. */
const RESULT_BYTES_MAX = 64 * 1024 * 1024;
const PARAMETERS_MAX = 1000;

/** The rows of a command, in text form; of several commands in one query, those of the last that has any. */
export interface ClientResult {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | null)[])[];
  readonly commandTag: string;
}

/** What a server has copied out, row after row. */
export interface CopiedChunk {
  /** The caller's own. */
  readonly bytes: Uint8Array;
  /** CopyData messages, which in the text format are rows. */
  readonly messages: number;
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** A connection to a server, from its first byte. It does one thing at a time; connect.ts makes one and logs in. */
export class ClientConnection {
  /** What the server has said of itself (ParameterStatus). */
  readonly parameters: ReadonlyMap<string, string>;
  readonly #parameters = new Map<string, string>();
  readonly #channel: MessageChannel;
  #copy: CopyStream | undefined;
  #isCopyingOut = false;
  #isClosing = false;

  /**
   * @param bodyBytesMax longest message that the server may send
   * @param onOver called once, when the server can send nothing more
   */
  constructor(
    connection: Connection,
    clock: Clock,
    bodyBytesMax: number,
    onOver: (error: Error | undefined) => void,
  ) {
    this.parameters = this.#parameters;
    this.#channel = new MessageChannel(connection, {
      clock,
      frames: { limits: backendBodyLimits(bodyBytesMax), form: 'regular' },
      onOver: (error) => {
        // Nothing that is unsent has a reader, unless one of us has ended in order.
        if (error !== undefined && !this.#isClosing) connection.close();
        onOver(error);
      },
    });
  }

  get isClosed(): boolean {
    return this.#channel.connection.isClosed;
  }

  /** Lets go of the connection at once. Whoever waits for the server gets this error. */
  abort(error: VarveError): void {
    this.#channel.fail(error);
  }

  /**
   * Runs a simple query and collects its rows.
   * @throws PostgresError, after which the connection is as good as before unless it is closed; what the connection
   * failed of; ProtocolError for what no server may answer
   */
  query(sql: string): Promise<ClientResult> {
    return this.#guard(async () => {
      this.#sendQuery(sql);
      return this.#collect();
    });
  }

  /**
   * Runs a command that is answered by CopyBothResponse. The receiver gets what the server copies, not before
   * this promise's continuations have run. After `onCopyEnd` with kind `done`, `endCopy` makes the connection fit for the
   * next command.
   * @throws as query
   */
  copyBoth(sql: string, receiver: CopyReceiver): Promise<CopyStream> {
    return this.#guard(async () => {
      this.#sendQuery(sql);
      const message = await this.receive();
      if (message.kind === 'ErrorResponse') return this.#throw(message.fields);
      if (message.kind !== 'CopyBothResponse') return refuse(message);
      this.#copy = new CopyStream(this.#channel, receiver, (cutter) => this.#onOther(cutter));
      return this.#copy;
    });
  }

  /**
   * Runs a command that is answered by CopyOutResponse, and gives the bodies of what is copied, each the caller's own.
   * The server is held back while none is asked for. It begins when the first one is asked for; whoever stops asking
   * before the end loses the connection, for all the rest would have to come first.
   * @throws as query
   */
  async *copyOut(sql: string): AsyncGenerator<Uint8Array, void, undefined> {
    await this.#beginCopyOut(sql);
    try {
      for (;;) {
        const body = await this.#nextCopied();
        if (body === undefined) break;
        yield body;
      }
      this.#isCopyingOut = false;
    } finally {
      if (this.#isCopyingOut) this.#giveUpCopyOut();
    }
    await this.#guard(() => this.#collect());
  }

  /**
   * As copyOut, with many messages in one chunk: of about this many bytes, or as long as the longest message.
   * @throws as query
   */
  async *copyOutChunks(sql: string, chunkBytes: number): AsyncGenerator<CopiedChunk, void, undefined> {
    await this.#beginCopyOut(sql);
    try {
      while (this.#isCopyingOut) {
        const chunk = await this.#guard(() => this.#gather(chunkBytes));
        if (chunk.messages > 0) yield chunk;
      }
    } finally {
      if (this.#isCopyingOut) this.#giveUpCopyOut();
    }
    await this.#guard(() => this.#collect());
  }

  /**
   * Runs a command that is answered by CopyInResponse. Nothing else may be asked for before what it gives has come to its
   * end.
   * @throws as query
   */
  copyIn(sql: string): Promise<CopyIn> {
    return this.#guard(async () => {
      this.#sendQuery(sql);
      const message = await this.receive();
      if (message.kind === 'ErrorResponse') return this.#throw(message.fields);
      if (message.kind !== 'CopyInResponse') return refuse(message);
      return new CopyIn(
        this.#channel,
        this.#guard(() => this.#collect()),
      );
    });
  }

  /**
   * Ends our half of a COPY, throws away what is left of the server's, and waits until the command is complete.
   * @throws what a COPY that failed failed of, after which the connection is gone
   */
  endCopy(): Promise<void> {
    return this.#guard(async () => {
      const copy = this.#copy;
      if (copy === undefined) throw new AssertionError('nothing is copied');
      const end = await copy.finish();
      this.#copy = undefined;
      if (end.kind !== 'done') {
        const error = end.kind === 'failed' ? end.error : serverLeft();
        this.#channel.fail(error);
        throw error;
      }
      await this.#collect();
    });
  }

  /** Says goodbye and closes. May be called again. */
  async close(): Promise<void> {
    if (this.#channel.failure === undefined) this.send({ kind: 'Terminate' });
    this.#isClosing = true;
    await this.#channel.close(LINGER_MS);
  }

  /** For connect.ts. */
  send(message: FrontendMessage): void {
    const writer = new MessageWriter();
    writeFrontendMessage(writer, message);
    this.#channel.send(writer.take());
  }

  /** For connect.ts: the next message that answers something. Notices and the like are passed over. */
  async receive(): Promise<BackendMessage> {
    for (;;) {
      if (!(await this.#channel.next())) throw serverLeft();
      const { tag, bytes, bodyOffset, bodyLength } = this.#channel.cutter;
      const message = decodeBackendMessage(tag, bytes, bodyOffset, bodyLength);
      if (!this.#takeAside(message)) return message;
    }
  }

  /** A ProtocolError leaves the connection out of step: it is closed. */
  async #guard<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof ProtocolError) this.#channel.fail(error);
      throw error;
    }
  }

  #beginCopyOut(sql: string): Promise<void> {
    return this.#guard(async () => {
      this.#sendQuery(sql);
      const message = await this.receive();
      if (message.kind === 'ErrorResponse') return this.#throw(message.fields);
      if (message.kind !== 'CopyOutResponse') return refuse(message);
      this.#isCopyingOut = true;
    });
  }

  /** The body of the next CopyData; undefined after CopyDone. */
  #nextCopied(): Promise<Uint8Array | undefined> {
    return this.#guard(async () =>
      (await this.#toNextCopied()) ? this.#channel.cutter.takeBody() : undefined,
    );
  }

  /** Goes to the next CopyData, which the cutter shows. False: CopyDone has come. */
  async #toNextCopied(): Promise<boolean> {
    for (;;) {
      if (!(await this.#channel.next())) throw serverLeft();
      const { cutter } = this.#channel;
      if (cutter.tag === COPY_DATA_TAG) return true;
      const message = decodeBackendMessage(cutter.tag, cutter.bytes, cutter.bodyOffset, cutter.bodyLength);
      if (this.#takeAside(message)) continue;
      if (message.kind === 'CopyDone') return false;
      if (message.kind !== 'ErrorResponse') return refuse(message);
      this.#isCopyingOut = false;
      return await this.#throw(message.fields);
    }
  }

  async #gather(chunkBytes: number): Promise<CopiedChunk> {
    let bytes = new Uint8Array(chunkBytes);
    let length = 0;
    let messages = 0;
    while (length < chunkBytes) {
      if (!(await this.#toNextCopied())) {
        this.#isCopyingOut = false;
        break;
      }
      const { cutter } = this.#channel;
      const end = length + cutter.bodyLength;
      if (end > bytes.length) {
        const longer = new Uint8Array(end);
        longer.set(bytes.subarray(0, length));
        bytes = longer;
      }
      bytes.set(cutter.bytes.subarray(cutter.bodyOffset, cutter.bodyOffset + cutter.bodyLength), length);
      length = end;
      messages++;
    }
    return { bytes: bytes.subarray(0, length), messages };
  }

  #giveUpCopyOut(): void {
    this.#isCopyingOut = false;
    this.#channel.fail(new VarveError('cancelled', 'COPY_GIVEN_UP', 'what the server copies was given up'));
  }

  /** An error that ends a command, once the server is ready again, unless the connection ends of it. */
  async #throw(fields: ErrorFields): Promise<never> {
    const error = new PostgresError(fields);
    if (error.severity === 'ERROR') await this.#collect();
    throw error;
  }

  #sendQuery(sql: string): void {
    if (this.#copy !== undefined || this.#isCopyingOut) throw new AssertionError('a command within a COPY');
    if (this.#channel.failure === undefined) this.send({ kind: 'Query', query: sql });
  }

  /** Reads until ReadyForQuery. An error in between is thrown when the server is ready again. */
  async #collect(): Promise<ClientResult> {
    let columns: string[] = [];
    let rows: (string | null)[][] = [];
    let commandTag = '';
    let error: PostgresError | undefined;
    let resultBytes = 0;
    for (;;) {
      const message = await this.receive();
      switch (message.kind) {
        case 'RowDescription':
          columns = message.fields.map(({ name }) => name);
          rows = [];
          break;
        case 'DataRow':
          for (const value of message.values) resultBytes += 16 + (value?.length ?? 0);
          if (resultBytes > RESULT_BYTES_MAX) {
            throw new ProtocolError('RESULT_TOO_LONG', `a result of more than ${RESULT_BYTES_MAX} bytes`);
          }
          rows.push(message.values.map((value) => (value === null ? null : utf8.decode(value))));
          break;
        case 'CommandComplete':
          commandTag = message.commandTag;
          break;
        case 'EmptyQueryResponse':
          break;
        case 'ErrorResponse':
          error ??= new PostgresError(message.fields);
          // Nothing follows where the connection ends of it.
          if (error.severity !== 'ERROR') throw error;
          break;
        case 'ReadyForQuery':
          if (error !== undefined) throw error;
          return { columns, rows, commandTag };
        default:
          refuse(message);
      }
    }
  }

  /** A server's message within a COPY. */
  #onOther(cutter: FrameCutter): CopyEnd | undefined {
    const message = decodeBackendMessage(cutter.tag, cutter.bytes, cutter.bodyOffset, cutter.bodyLength);
    if (this.#takeAside(message)) return undefined;
    // A server that shuts down ends with CommandComplete alone (walsender.c, WalSndDone).
    if (message.kind === 'CopyDone' || message.kind === 'CommandComplete') return { kind: 'done' };
    if (message.kind === 'ErrorResponse') return { kind: 'failed', error: new PostgresError(message.fields) };
    return refuse(message);
  }

  /** Whether it is one of the messages that may come at any time (protocol.sgml, Asynchronous Operations). */
  #takeAside(message: BackendMessage): boolean {
    if (message.kind === 'ParameterStatus') {
      if (this.#parameters.size >= PARAMETERS_MAX) {
        throw new ProtocolError(
          'TOO_MANY_PARAMETERS',
          `a server with more than ${PARAMETERS_MAX} parameters`,
        );
      }
      this.#parameters.set(message.name, message.value);
      return true;
    }
    return message.kind === 'NoticeResponse' || message.kind === 'NotificationResponse';
  }
}

function refuse(message: BackendMessage): never {
  throw new ProtocolError('UNEXPECTED_MESSAGE', `the server sends ${message.kind} where none may stand`);
}

function serverLeft(): VarveError {
  return new VarveError('unavailable', 'CONNECTION_LOST', 'the server has ended the connection');
}
