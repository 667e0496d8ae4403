import type { Http } from '../http.ts';
import { sendRequest } from './http-client.ts';
import { NodeHttpServer } from './http-server.ts';

/**
 * The real side of the HTTP door.
 *
 * @param report told of what no request can be told of: a connection that could not be accepted, such as for want of
 *   memory (the server goes on, and who connected may try again), and what a handler or its answer's body threw
 */
export function nodeHttp(report: (error: unknown) => void): Http {
  return {
    serve: (options) => NodeHttpServer.start(options, report),
    request: sendRequest,
  };
}
