import { type ClientRequest, type IncomingMessage, request as startRequest } from 'node:http';
import { request as startSecureRequest } from 'node:https';
import { BadRequestError, type VarveError } from '../../base/errors.ts';
import type { ServerTrust } from '../sockets.ts';
import { readBody, writeBody } from './http-body.ts';
import { cancelled, toAddressError, toConnectionError } from './network-errors.ts';
import { trustOptions } from './secure-channel.ts';

/** Statuses whose answers have no body (Fetch standard, "null body status"). */
const NULL_BODY_STATUSES = new Set([204, 205, 304]);

/**
 * Sends a request over a connection of its own. It follows no redirection, decodes nothing and keeps no time: a
 * long poll may take what it takes, until the request's signal is given.
 */
export async function sendRequest(request: Request, trust?: ServerTrust): Promise<Response> {
  const { signal } = request;
  const url = new URL(request.url);
  const peer = url.host;
  if (signal.aborted) throw cancelled(peer, signal);
  const toError = (error: unknown): VarveError => {
    if (signal.aborted) return cancelled(peer, signal);
    return isBeforeConnection(error) ? toAddressError(peer, error) : toConnectionError(peer, error);
  };
  const outgoing = open(request, url, trust, toError);
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  outgoing.on('error', (error) => reject(toError(error)));
  outgoing.on('response', (incoming) => resolve(toResponse(incoming, toError)));
  if (request.body === null) {
    outgoing.end();
    return promise;
  }
  const writing = writeBody(request.body, outgoing).catch((error: unknown) => {
    // The body itself has failed: that is the caller's own error.
    reject(error);
    outgoing.destroy();
  });
  const response = await promise;
  // An answer may come before the whole request was sent, which then goes on.
  void writing;
  return response;
}

function open(
  request: Request,
  url: URL,
  trust: ServerTrust | undefined,
  toError: (error: unknown) => VarveError,
): ClientRequest {
  const options = {
    method: request.method,
    headers: Object.fromEntries(request.headers),
    signal: request.signal,
    agent: false,
  } as const;
  if (url.protocol === 'http:') {
    if (trust === undefined) return startRequest(url, options);
    throw new BadRequestError('BAD_ADDRESS', `${url.host}: a plain connection proves nothing of the server`);
  }
  if (url.protocol !== 'https:') {
    throw new BadRequestError('BAD_ADDRESS', `${url.protocol} is neither http: nor https:`);
  }
  const serverName = url.hostname.replace(/^\[|\]$/g, '');
  try {
    return startSecureRequest(url, { ...trustOptions(trust ?? { serverName }), ...options });
  } catch (error) {
    // Authorities that are no certificates.
    throw toError(error);
  }
}

/** Whether it was the connecting that has failed: looking up the name, or reaching one of its addresses. */
function isBeforeConnection(error: unknown): boolean {
  if (error instanceof AggregateError) return true;
  const { syscall } = error as NodeJS.ErrnoException;
  return syscall === 'connect' || syscall === 'getaddrinfo';
}

function toResponse(incoming: IncomingMessage, toError: (error: unknown) => VarveError): Response {
  const { statusCode = 0, rawHeaders } = incoming;
  const headers = new Headers();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) headers.append(rawHeaders[i]!, rawHeaders[i + 1]!);
  if (NULL_BODY_STATUSES.has(statusCode)) {
    incoming.resume();
    return new Response(null, { status: statusCode, headers });
  }
  const body = readBody(incoming, { toError, onCancel: () => void incoming.destroy() });
  return new Response(body, { status: statusCode, headers });
}
