import type { BackendMessage } from '../../postgres/wire/backend-messages.ts';
import { writeBackendMessage } from '../../postgres/wire/backend-messages.ts';
import type { FrameCutter } from '../../postgres/wire/framing.ts';
import { decodeFrontendMessage } from '../../postgres/wire/frontend-messages.ts';
import { MessageWriter } from '../../postgres/wire/message-writer.ts';
import { parseServiceOptions } from '../../postgres/wire/startup-options.ts';
import { CommandError, formatTag, ProtocolError } from '../../postgres/wire/wire-error.ts';
import { type CopyEnd, type CopyReceiver, CopyStream } from '../copy-stream.ts';
import type { MessageChannel } from '../message-channel.ts';
import { CopyOut } from './copy-out.ts';
import { type QueryResult, writeQueryResult } from './result.ts';

/** query_canceled: what PostgreSQL says of a COPY that its client gave up (copyfromparse.c, CopyGetData). */
const SQLSTATE_QUERY_CANCELED = '57014';

/** What a service does with the commands of its clients. */
export interface SessionHandler<Identity> {
  /**
   * Carries a command out, and answers it: by sendResult, sendComplete, copyOut or copyBoth. When the promise settles,
   * nothing may use the session any more. An error that is rejected with is reported, and ends the connection if it is a
   * ProtocolError, a ConnectionEndError, a bug, or if copying both ways has begun and such errors end the connection.
   */
  query(session: Session<Identity>, sql: string): Promise<void>;
}

/** What an error of a handler ends that has begun to copy both ways. */
export type CopyErrorEnds = 'connection' | 'command';

export interface SessionStart<Identity> {
  /** Of the startup packet. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly identity: Identity;
  readonly isSecure: boolean;
}

/** A client that has been let in, as a handler sees it. */
export class Session<Identity> {
  /** Address of the client, for logs. */
  readonly peer: string;
  /** Of the startup packet. */
  readonly parameters: ReadonlyMap<string, string>;
  /** Whom the client proved to be; undefined where everybody is let in. */
  readonly identity: Identity;
  /** Over TLS. */
  readonly isSecure: boolean;
  readonly applicationName: string;
  /** The settings in the parameter `options`. */
  readonly options: ReadonlyMap<string, string>;
  /** Aborted when the connection is over, or has to be. Its reason is why. */
  readonly signal: AbortSignal;
  /**
   * Aborted when the client is known to send nothing more, while a command is carried out: it has said goodbye, or has ended
   * its half of the connection. Some may still take the answer. Not seen behind further commands that it has sent.
   */
  readonly leaving: AbortSignal;

  readonly #channel: MessageChannel;
  readonly #writer = new MessageWriter();
  #copy: CopyStream | undefined;
  #copyErrorEnds: CopyErrorEnds = 'connection';
  #copyOut: CopyOut | undefined;
  #isTerminated = false;

  constructor(
    channel: MessageChannel,
    signals: { readonly over: AbortSignal; readonly leaving: AbortSignal },
    start: SessionStart<Identity>,
  ) {
    this.#channel = channel;
    this.signal = signals.over;
    this.leaving = signals.leaving;
    this.peer = channel.connection.peer;
    this.parameters = start.parameters;
    this.identity = start.identity;
    this.isSecure = start.isSecure;
    this.applicationName = start.parameters.get('application_name') ?? '';
    this.options = parseServiceOptions(start.parameters.get('options') ?? '');
  }

  /** Set from copyBoth on, until the command has ended. */
  get copy(): CopyStream | undefined {
    return this.#copy;
  }

  /** The client said goodbye within a COPY. */
  get isTerminated(): boolean {
    return this.#isTerminated;
  }

  sendResult(result: QueryResult): void {
    writeQueryResult(this.#writer, result);
    this.#flush();
  }

  /** CommandComplete, for a command without a result. */
  sendComplete(commandTag: string): void {
    this.#send({ kind: 'CommandComplete', commandTag });
  }

  /**
   * Sends CopyBothResponse, and hands what the client copies to the receiver, whose first call comes when this command's
   * handler has returned to the event loop. Once both the handler's promise and the client's half have ended, the session
   * says CopyDone, if the handler has not, and CommandComplete.
   * @param errorEnds `command`: after an error of the handler the client may send further commands on this connection
   */
  copyBoth(receiver: CopyReceiver, errorEnds: CopyErrorEnds = 'connection'): CopyStream {
    this.#send({ kind: 'CopyBothResponse', format: 'text', columnFormats: [] });
    this.#copyErrorEnds = errorEnds;
    this.#copy = new CopyStream(this.#channel, receiver, (cutter) => this.#onOther(cutter));
    return this.#copy;
  }

  /**
   * Sends CopyOutResponse: what is then written is copied to the client. When the handler's promise has resolved, the
   * session says CopyDone and CommandComplete; an error of the handler is reported in their place.
   */
  copyOut(): CopyOut {
    this.#send({ kind: 'CopyOutResponse', format: 'text', columnFormats: [] });
    this.#copyOut = new CopyOut(this.#channel, this.signal);
    return this.#copyOut;
  }

  /** Whether an error of the handler leaves the connection fit for further commands. */
  get survivesErrors(): boolean {
    return this.#copy === undefined || this.#copyErrorEnds === 'command';
  }

  /** Completes what the handler has copied out, if it has. */
  completeCopyOut(): void {
    if (this.#copyOut === undefined) return;
    this.#copyOut = undefined;
    this.#send({ kind: 'CopyDone' });
    this.sendComplete('SELECT 1');
  }

  /** Forgets the COPY of a command that has ended. The receiver hears nothing more. */
  endCopy(): void {
    if (this.#copy?.isReceiving === true) this.#channel.push(undefined);
    this.#copy = undefined;
    this.#copyOut = undefined;
  }

  /** Sends one message at once. */
  #send(message: BackendMessage): void {
    writeBackendMessage(this.#writer, message);
    this.#flush();
  }

  #flush(): void {
    this.#channel.send(this.#writer.take());
  }

  /** A client's message within a COPY. Stock clients send Flush and Sync at will (protocol.sgml, COPY Operations). */
  #onOther(cutter: FrameCutter): CopyEnd | undefined {
    const message = decodeFrontendMessage(cutter.tag, cutter.bytes, cutter.bodyOffset, cutter.bodyLength);
    switch (message.kind) {
      case 'CopyDone':
        return { kind: 'done' };
      case 'CopyFail':
        return {
          kind: 'failed',
          error: new CommandError('COPY_FAILED', `COPY failed: ${message.reason}`, SQLSTATE_QUERY_CANCELED),
        };
      case 'Terminate':
        this.#isTerminated = true;
        return { kind: 'closed' };
      case 'Flush':
      case 'Sync':
        return undefined;
      default:
        throw new ProtocolError('UNEXPECTED_MESSAGE', `message ${formatTag(cutter.tag)} within a COPY`);
    }
  }
}
