import type { Listener, ServerIdentity, ServerTrust } from './sockets.ts';

/** Answers a request. A thrown error is a bug: the server answers 500 and lets the connection go. */
export type HttpHandler = (request: Request, peer: string) => Promise<Response>;

/** The door to HTTP. Errors are those of the sockets door. */
export interface Http {
  /**
   * Port 0 takes a free one. A listener's close lets go of idle connections, and waits a moment for requests under way,
   * and some seconds for clients that take their answers.
   */
  serve(options: HttpServeOptions): Promise<Listener>;
  /**
   * Sends a request and resolves when the answer's head is there. Whatever the status: that is no error. The body
   * must be read or cancelled.
   */
  request(request: Request, trust?: ServerTrust): Promise<Response>;
}

export interface HttpServeOptions {
  readonly host: string;
  readonly port: number;
  /** HTTPS where it is given. */
  readonly identity?: ServerIdentity;
  readonly handler: HttpHandler;
}
