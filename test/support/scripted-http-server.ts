import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ScriptedRequest {
  readonly method: string;
  /** With the query. */
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  readonly response: ServerResponse;
}

export interface ScriptedHttpServer extends AsyncDisposable {
  readonly endpoint: string;
  /** All that have come whole. */
  readonly requests: readonly ScriptedRequest[];
}

/** A server on a free port that answers as the test says, and as badly. `answer` gets the request's number, from 1. */
export async function startScriptedHttpServer(
  answer: (request: ScriptedRequest, number: number) => void,
): Promise<ScriptedHttpServer> {
  const requests: ScriptedRequest[] = [];
  const server = createServer((message, response) => {
    const pieces: Buffer[] = [];
    message.on('data', (piece: Buffer) => pieces.push(piece));
    message.on('end', () => {
      const { method = '', url = '', headers } = message;
      const request = { method, url, headers, body: Buffer.concat(pieces), response };
      answer(request, requests.push(request));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    requests,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
