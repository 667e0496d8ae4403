import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';

const BUFFER_BYTES: number = 64 * 1024;

/**
 * What one socket reads into. The same memory serves again as long as nobody keeps what was read; else Node.js would
 * allocate as much for each read, however little comes, and have it collected soon after.
 */
export class ReceiveBuffer {
  /** Takes what was read; true if it has no more use for that memory. Set before anything is read. */
  take: (chunk: Uint8Array) => boolean = () => false;
  #bytes = new Uint8Array(BUFFER_BYTES);
  #isFree = true;

  /** For the constructor of the socket. */
  readonly options: OnReadOpts = {
    buffer: () => this.#next(),
    callback: (length) => {
      this.#isFree = this.take(this.#bytes.subarray(0, length));
      return true;
    },
  };

  #next(): Uint8Array {
    if (!this.#isFree) {
      this.#bytes = new Uint8Array(BUFFER_BYTES);
      this.#isFree = true;
    }
    return this.#bytes;
  }
}

/** What is used of a socket beside its public face: servers have no public way to say what their sockets read into. */
interface WithHandle {
  _handle: unknown;
}

/**
 * The same connection as a socket that reads into this buffer, and has not begun to. undefined where this release of
 * Node.js does not keep its handle where it is expected; then `accepted` is as it was.
 * @param accepted by a server with `pauseOnConnect`
 */
export function withReceiveBuffer(accepted: Socket, buffer: ReceiveBuffer): Socket | undefined {
  const holder = accepted as unknown as WithHandle;
  const handle: unknown = holder._handle;
  if (typeof handle !== 'object' || handle === null || !('useUserBuffer' in handle)) return undefined;
  holder._handle = null;
  accepted.destroy();
  const options: object = { handle, allowHalfOpen: true, onread: buffer.options };
  const socket = new Socket(options as SocketConstructorOpts);
  socket.pause();
  return socket;
}
