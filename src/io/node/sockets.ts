import { connect, createServer, type Server, type Socket } from 'node:net';
import type { VarveError } from '../../base/errors.ts';
import { formatAddress } from '../format-address.ts';
import type { Connection, Listener, SocketAddress, Sockets } from '../sockets.ts';
import { NodeConnection } from './connection.ts';
import { cancelled, toAddressError } from './network-errors.ts';
import { ReceiveBuffer, withReceiveBuffer } from './receive-buffer.ts';

const SOCKET_OPTIONS = { allowHalfOpen: true, noDelay: true } as const;

/** Of a TCP connection; one that is over already has none. */
export function describePeer(socket: Socket): string {
  const { remoteAddress, remotePort } = socket;
  if (remoteAddress === undefined || remotePort === undefined) return 'a lost connection';
  return formatAddress({ host: remoteAddress, port: remotePort });
}

class NodeListener implements Listener {
  readonly address: SocketAddress;
  readonly #server: Server;

  constructor(address: SocketAddress, server: Server) {
    this.address = address;
    this.#server = server;
  }

  /** The server's own callback would come only after the last of its connections has gone. */
  async close(): Promise<void> {
    if (this.#server.listening) this.#server.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Binds a server of Node.js to an address, and gives back the address with the port that was taken. */
export function startListening(server: Server, address: SocketAddress): Promise<SocketAddress> {
  return new Promise((resolve, reject) => {
    const onError = (error: unknown): void => reject(toAddressError(formatAddress(address), error));
    server.once('error', onError);
    try {
      server.listen({ ...address }, () => {
        server.off('error', onError);
        const bound = server.address();
        const isTcp = 'host' in address && bound !== null && typeof bound === 'object';
        resolve(isTcp ? { host: address.host, port: bound.port } : address);
      });
    } catch (error) {
      onError(error);
    }
  });
}

function connectTo(address: SocketAddress, signal: AbortSignal): Promise<Connection> {
  const peer = formatAddress(address);
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(cancelled(peer, signal));
    const buffer = new ReceiveBuffer();
    let socket: Socket;
    try {
      socket = connect({ ...SOCKET_OPTIONS, ...address, onread: buffer.options });
    } catch (error) {
      return reject(toAddressError(peer, error));
    }
    const settle = (): void => {
      socket.off('connect', onConnect);
      socket.off('error', onError);
      signal.removeEventListener('abort', onAbort);
    };
    const onConnect = (): void => {
      settle();
      socket.pause();
      resolve(new NodeConnection(socket, peer, buffer));
    };
    const onError = (error: Error): void => {
      settle();
      reject(toAddressError(peer, error));
    };
    const onAbort = (): void => {
      settle();
      socket.destroy();
      reject(cancelled(peer, signal));
    };
    socket.on('connect', onConnect);
    socket.on('error', onError);
    signal.addEventListener('abort', onAbort);
  });
}

/**
 * The real side of the sockets door.
 *
 * @param onAcceptFailed told when a connection could not be accepted, such as for want of memory. The listener
 *   goes on: whoever connected has lost the connection, and may try again.
 */
export function nodeSockets(onAcceptFailed: (error: VarveError) => void): Sockets {
  return {
    async listen(address, accept) {
      const server = createServer({ ...SOCKET_OPTIONS, pauseOnConnect: true }, (socket) => {
        const peer = 'path' in address ? address.path : describePeer(socket);
        const buffer = new ReceiveBuffer();
        const buffered = withReceiveBuffer(socket, buffer);
        if (buffered === undefined) accept(new NodeConnection(socket, peer));
        else accept(new NodeConnection(buffered, peer, buffer));
      });
      const bound = await startListening(server, address);
      server.on('error', (error) => onAcceptFailed(toAddressError(formatAddress(bound), error)));
      return new NodeListener(bound, server);
    },
    connect: connectTo,
  };
}
