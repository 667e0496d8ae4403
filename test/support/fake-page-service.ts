import { parsePageServiceCommand } from '../../src/contracts/page-commands.ts';
import * as messages from '../../src/contracts/page-messages.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import type { Listener, ServerIdentity } from '../../src/io/sockets.ts';
import type { CopyStream } from '../../src/libpq/copy-stream.ts';
import { ServerConnection } from '../../src/libpq/server/server-connection.ts';
import type { Session } from '../../src/libpq/server/session.ts';

const sockets = nodeSockets((error) => {
  throw error;
});

/** A request as it came, whole. */
export interface FakeRequest {
  readonly version: messages.PageProtocolVersion;
  readonly tag: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Answers one request on the stream, now, later or never. */
export type FakeAnswer = (request: FakeRequest, stream: CopyStream) => void;

/** The other end of a client of pages: cuts requests, and leaves what they are answered to the test. */
export class FakePageService implements AsyncDisposable {
  readonly port: number;
  /** Queries, as text. */
  readonly commands: string[] = [];
  readonly #listener: Listener;
  readonly #runs: Promise<unknown>[] = [];
  readonly #life = new AbortController();
  requests = 0;
  /** What the last client that came has proved itself with. */
  token: string | undefined;

  private constructor(listener: Listener) {
    this.#listener = listener;
    this.port = (listener.address as { port: number }).port;
  }

  static async start(answer: FakeAnswer, identity?: ServerIdentity): Promise<FakePageService> {
    const service: FakePageService = new FakePageService(
      await sockets.listen({ host: '127.0.0.1', port: 0 }, (connection) => {
        const handler = {
          query: (session: Session<string>, sql: string): Promise<void> =>
            service.#serve(session, sql, answer),
        };
        const server = new ServerConnection(connection, handler, {
          clock: nodeClock,
          ...(identity === undefined ? {} : { tls: { identity } }),
          authentication: {
            mode: 'token',
            authenticate: async (token) => {
              service.token = token;
              return token;
            },
          },
        });
        service.#runs.push(server.run(service.#life.signal));
      }),
    );
    return service;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort();
    await this.#listener.close();
    await Promise.all(this.#runs);
  }

  async #serve(session: Session<string>, sql: string, answer: FakeAnswer): Promise<void> {
    this.commands.push(sql);
    const command = parsePageServiceCommand(sql);
    if (command.kind === 'LeaseLsn') {
      const value = command.lsn === 1 ? null : String(command.lsn * 1000);
      session.sendResult({
        columns: [{ name: 'valid_until', type: 'text' }],
        rows: [[value]],
        commandTag: 'SELECT 1',
      });
      return;
    }
    if (command.kind === 'StartSet') {
      const copy = session.copyOut();
      for (let piece = 0; piece < 100; piece++) await copy.write(new Uint8Array(100_000).fill(piece));
      return;
    }
    if (command.kind !== 'PageStream') throw new Error(`a command that is not spoken here: ${sql}`);
    const version = command.protocolVersion;
    await new Promise<void>((resolve, reject) => {
      const stream = session.copyBoth({
        onCopyData: (source, offset, length) => {
          const bytes = source.slice(offset, offset + length);
          const view = new DataView(bytes.buffer);
          const tag = messages.checkRequest(version, view, 0, length);
          this.requests++;
          answer({ version, tag, bytes, view }, stream);
          // As a service whose answers nobody takes.
          if (stream.unsentBytes > 1024 * 1024) {
            stream.pause();
            void stream.drained(512 * 1024).then(() => stream.resume());
          }
        },
        onCopyEnd: (end) => {
          if (end.kind === 'failed') reject(end.error);
          else resolve();
        },
      });
    });
  }
}

/** A response to a request, whose answer `write` writes. */
export function makeResponse(
  { version, tag, bytes, view }: FakeRequest,
  extraBytes: number,
  write: (view: DataView, offset: number) => void,
): Uint8Array {
  const response = new Uint8Array(messages.responseBytes(version, tag) + extraBytes);
  const responseView = new DataView(response.buffer);
  write(responseView, messages.writeResponseHeader(version, response, responseView, 0, bytes, view, 0));
  return response;
}

/** Each page is filled with its block number. */
export const answerPage: FakeAnswer = (request, stream) => {
  const block = messages.readBlock(request.version, request.view, 0);
  const response = makeResponse(request, 0, (view, offset) => {
    for (let index = 0; index < 8192; index += 4) view.setUint32(offset + index, block);
  });
  stream.sendCopyData(response);
};

export const answerError: (text: string) => FakeAnswer = (text) => (request, stream) => {
  const { version, bytes, view } = request;
  const response = new Uint8Array(messages.RESPONSE_BYTES_MAX);
  const responseView = new DataView(response.buffer);
  const end = messages.writeErrorResponse(version, response, responseView, 0, bytes, view, 0, text);
  stream.sendCopyData(response.subarray(0, end));
};
