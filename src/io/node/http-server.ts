import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { HttpHandler, HttpServeOptions } from '../http.ts';
import type { Listener, SocketAddress } from '../sockets.ts';
import { readBody, writeBody } from './http-body.ts';
import { toAddressError, toConnectionError } from './network-errors.ts';
import { describePeer, startListening } from './sockets.ts';

/** A host and a port, as of RFC 9110: anything else could change the rest of the URL. */
const HOST = /^([\w.-]+|\[[\da-fA-F:.]+\])(:\d{1,5})?$/;

/**
 * A request may take hours to come, where it is an upload: whoever reads its body sees to it that it goes on. Its head may
 * not.
 */
const TIMEOUTS = { requestTimeout: 0, headersTimeout: 60_000 };

/** When the server closes, requests under way have so long to be answered; then their connections are broken off. */
const REQUEST_GRACE_MS = 1000;
/** Clients that are being answered have so long to take that. */
const ANSWER_GRACE_MS = 5000;

/** A server of HTTP or HTTPS that hands requests to one handler. */
export class NodeHttpServer implements Listener {
  readonly #server: Server;
  readonly #handler: HttpHandler;
  readonly #report: (error: unknown) => void;
  readonly #connections = new Set<Socket>();
  readonly #answers = new Set<ServerResponse>();
  #address: SocketAddress;
  #closed: Promise<void> | undefined;
  #onIdle: (() => void) | undefined;

  private constructor({ host, port, identity, handler }: HttpServeOptions, report: (error: unknown) => void) {
    this.#report = report;
    this.#address = { host, port };
    this.#handler = handler;
    this.#server =
      identity === undefined
        ? createServer(TIMEOUTS)
        : createSecureServer({ ...TIMEOUTS, cert: identity.certificate, key: identity.privateKey });
    this.#server.on('connection', (socket: Socket) => {
      this.#connections.add(socket);
      socket.on('close', () => this.#connections.delete(socket));
    });
    this.#server.on('request', (incoming: IncomingMessage, outgoing: ServerResponse) => {
      this.#answers.add(outgoing);
      outgoing.on('close', () => {
        this.#answers.delete(outgoing);
        if (this.#answers.size === 0) this.#onIdle?.();
      });
      void this.#answer(incoming, outgoing);
    });
  }

  /** @param report told of what no request can be told of; the server goes on */
  static async start(options: HttpServeOptions, report: (error: unknown) => void): Promise<NodeHttpServer> {
    const name = `${options.host}:${options.port}`;
    let server: NodeHttpServer;
    try {
      server = new NodeHttpServer(options, report);
    } catch (error) {
      throw toAddressError(name, error);
    }
    server.#address = await startListening(server.#server, server.#address);
    server.#server.on('error', (error) => report(toAddressError(name, error)));
    return server;
  }

  get address(): SocketAddress {
    return this.#address;
  }

  close(): Promise<void> {
    this.#closed ??= this.#closeWhenIdle();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #closeWhenIdle(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.on('close', resolve);
    });
    this.#server.close();
    const timers = [
      setTimeout(() => {
        // Such as of clients that send half a body.
        for (const answer of this.#answers) if (!answer.headersSent) answer.destroy();
      }, REQUEST_GRACE_MS),
      setTimeout(() => {
        // Such as of clients that do not read.
        for (const socket of this.#connections) socket.destroy();
      }, ANSWER_GRACE_MS),
    ];
    if (this.#answers.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    // Those that have sent no request, or half of one, or have not finished their handshake.
    for (const socket of this.#connections) socket.destroySoon();
    await closed;
    for (const timer of timers) clearTimeout(timer);
  }

  async #answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const peer = describePeer(incoming.socket);
    const controller = new AbortController();
    outgoing.on('close', () => {
      if (!outgoing.writableFinished) controller.abort();
    });
    const request = toRequest(incoming, peer, controller.signal);
    if (request === undefined) {
      outgoing.writeHead(400, { connection: 'close' }).end();
      return;
    }
    try {
      const response = await this.#handler(request, peer);
      await this.#send(response, incoming, outgoing);
    } catch (error) {
      this.#report(error);
      // The other side learns no more than that it was not its fault.
      if (outgoing.headersSent) outgoing.destroy();
      else outgoing.writeHead(500, { connection: 'close' }).end();
    }
  }

  async #send(response: Response, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    for (const [name, value] of response.headers) outgoing.appendHeader(name, value);
    // What of the request has not been read would have to be, before the connection is of use again.
    if (!incoming.complete || this.#closed !== undefined) outgoing.setHeader('connection', 'close');
    outgoing.writeHead(response.status);
    const { body } = response;
    if (body === null || incoming.method === 'HEAD') {
      outgoing.end();
      await body?.cancel();
      return;
    }
    await writeBody(body, outgoing);
  }
}

/** undefined if there can be no such request. */
function toRequest(incoming: IncomingMessage, peer: string, signal: AbortSignal): Request | undefined {
  const { method = 'GET', url = '', headers, rawHeaders } = incoming;
  const host = headers.host ?? 'localhost';
  if (!HOST.test(host) || !url.startsWith('/')) return undefined;
  const scheme = (incoming.socket as Partial<TLSSocket>).encrypted === true ? 'https' : 'http';
  const pairs: [string, string][] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) pairs.push([rawHeaders[i]!, rawHeaders[i + 1]!]);
  const hasBody = method !== 'GET' && method !== 'HEAD';
  try {
    return new Request(`${scheme}://${host}${url}`, {
      method,
      headers: pairs,
      signal,
      ...(hasBody ? { body: requestBody(incoming, peer), duplex: 'half' } : {}),
    });
  } catch (error) {
    // A method, URL or header that the Fetch standard forbids.
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

function requestBody(incoming: IncomingMessage, peer: string): ReadableStream<Uint8Array> {
  return readBody(incoming, {
    toError: (error) => toConnectionError(peer, error),
    // Whoever refuses the rest of a body still wants to answer.
    onCancel: () => undefined,
  });
}
