import { isIP, type Socket } from 'node:net';
import {
  type ConnectionOptions,
  checkServerIdentity,
  connect,
  createSecureContext,
  type SecureContext,
  TLSSocket,
} from 'node:tls';
import type { ServerIdentity, ServerTrust } from '../sockets.ts';

const contexts = new WeakMap<ServerIdentity, SecureContext>();

/** Reads certificate and key once for all connections, which also lets clients resume sessions. */
function contextOf(identity: ServerIdentity): SecureContext {
  let context = contexts.get(identity);
  if (context === undefined) {
    context = createSecureContext({ cert: identity.certificate, key: identity.privateKey });
    contexts.set(identity, context);
  }
  return context;
}

/** What a client of node:tls and node:https is to verify. A name in the handshake must not be an address (RFC 6066). */
export function trustOptions({ authorities, serverName, isAnyoneTrusted }: ServerTrust): ConnectionOptions {
  const servername = isIP(serverName) === 0 ? serverName : '';
  if (isAnyoneTrusted === true) return { servername, rejectUnauthorized: false };
  return {
    ...(authorities === undefined ? {} : { ca: authorities }),
    servername,
    checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate),
  };
}

/** One side's secure channel over a connected socket, with the event that says that it is there and trusted. */
export interface SecureChannel {
  readonly socket: TLSSocket;
  readonly readyEvent: 'secure' | 'secureConnect';
}

export function startAsServer(socket: Socket, identity: ServerIdentity): SecureChannel {
  const secureContext = contextOf(identity);
  return { socket: new TLSSocket(socket, { isServer: true, secureContext }), readyEvent: 'secure' };
}

export function startAsClient(socket: Socket, trust: ServerTrust): SecureChannel {
  return { socket: connect({ ...trustOptions(trust), socket }), readyEvent: 'secureConnect' };
}
