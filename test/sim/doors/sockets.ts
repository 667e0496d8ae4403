import { BadRequestError, VarveError } from '../../../src/base/errors.ts';
import type { Connection, Listener, SocketAddress, Sockets } from '../../../src/io/sockets.ts';
import { traceLabel } from '../kernel-trace.ts';
import { SimConnection } from './connection.ts';
import { never } from './crash.ts';
import type { SimNetwork } from './network.ts';
import type { DoorIncarnation, DoorNode } from './world.ts';

const LISTEN = traceLabel('listen');
const CONNECT = traceLabel('connect');
const ACCEPT = traceLabel('accept');
const REFUSE = traceLabel('refuse');

const OWN_HOSTS = ['0.0.0.0', '::', '127.0.0.1', '::1', 'localhost'];

const show = (address: SocketAddress): string =>
  'path' in address ? address.path : `${address.host}:${address.port}`;

const failed = (address: SocketAddress, reason: string): VarveError =>
  new VarveError('unavailable', 'CONNECTION_FAILED', `${reason} (${show(address)})`);

const cancelled = (): VarveError => new VarveError('cancelled', 'CANCELLED', 'connecting was given up');

function checkPort(address: SocketAddress): void {
  if ('path' in address || (address.port >= 0 && address.port <= 65_535)) return;
  throw new BadRequestError('BAD_ADDRESS', `there is no port ${address.port}`);
}

/** The simulated side of the sockets door: a node's name is its host, and every node has its own Unix sockets. */
export class SimSockets implements Sockets {
  readonly #incarnation: DoorIncarnation;
  readonly #network: SimNetwork;

  constructor(incarnation: DoorIncarnation, network: SimNetwork) {
    this.#incarnation = incarnation;
    this.#network = network;
  }

  async listen(address: SocketAddress, accept: (connection: Connection) => void): Promise<Listener> {
    const incarnation = this.#incarnation;
    if (!incarnation.isAlive) return never();
    checkPort(address);
    const { node } = incarnation;
    if (this.#nodeOf(address) !== node) {
      throw new BadRequestError('BAD_ADDRESS', `${node.name} cannot listen at ${show(address)}`);
    }
    const taken: SocketAddress =
      'path' in address || address.port > 0
        ? address
        : { host: address.host, port: this.#network.takePort() };
    const place = placeOf(node, taken);
    const { listeners } = this.#network;
    if (listeners.has(place)) {
      throw new VarveError('conflict', 'ADDRESS_IN_USE', `somebody listens at ${show(taken)} already`);
    }
    const listening = { incarnation, accept };
    listeners.set(place, listening);
    incarnation.kernel.note(node.index, LISTEN, 'port' in taken ? taken.port : 0);
    const close = async (): Promise<void> => {
      if (listeners.get(place) === listening) listeners.delete(place);
    };
    return { address: taken, close, [Symbol.asyncDispose]: close };
  }

  async connect(address: SocketAddress, signal: AbortSignal): Promise<Connection> {
    const incarnation = this.#incarnation;
    if (!incarnation.isAlive) return never();
    checkPort(address);
    if (signal.aborted) throw cancelled();
    const target = this.#nodeOf(address);
    if (target === undefined) throw failed(address, 'there is no such host');
    incarnation.kernel.note(
      incarnation.node.index,
      CONNECT,
      target.index,
      'port' in address ? address.port : 0,
    );
    return new Promise((resolve, reject) => {
      const attempt = new ConnectAttempt(incarnation, this.#network, target, address, signal);
      attempt.run(resolve, reject);
    });
  }

  #nodeOf(address: SocketAddress): DoorNode | undefined {
    const { node } = this.#incarnation;
    if ('path' in address || address.host === node.name || OWN_HOSTS.includes(address.host)) return node;
    return this.#incarnation.kernel.nodes.find((other) => other.name === address.host);
  }
}

const placeOf = (node: DoorNode, address: SocketAddress): string =>
  `${node.name} ${'path' in address ? address.path : address.port}`;

/** From the first packet to the answer, the time-out, or the signal. */
class ConnectAttempt {
  readonly #incarnation: DoorIncarnation;
  readonly #network: SimNetwork;
  readonly #target: DoorNode;
  readonly #address: SocketAddress;
  readonly #signal: AbortSignal;
  #isSettled = false;
  #connection: SimConnection | undefined;

  constructor(
    incarnation: DoorIncarnation,
    network: SimNetwork,
    target: DoorNode,
    address: SocketAddress,
    signal: AbortSignal,
  ) {
    this.#incarnation = incarnation;
    this.#network = network;
    this.#target = target;
    this.#address = address;
    this.#signal = signal;
  }

  run(resolve: (connection: Connection) => void, reject: (error: VarveError) => void): void {
    const incarnation = this.#incarnation;
    const { node, kernel } = incarnation;
    const settle = (error?: VarveError): void => {
      if (this.#isSettled) return;
      this.#isSettled = true;
      timeout.action = undefined;
      this.#signal.removeEventListener('abort', abort);
      if (error === undefined) {
        resolve(this.#connection as SimConnection);
        return;
      }
      this.#connection?.close();
      // A promise of the dead never settles, and a signal may come from elsewhere.
      if (incarnation.isAlive) reject(error);
    };
    const abort = (): void => settle(cancelled());
    const timeout = kernel.after(incarnation, this.#network.settings.connectTimeoutMs * 1000, () =>
      settle(failed(this.#address, 'no answer came')),
    );
    this.#signal.addEventListener('abort', abort);
    const there = this.#network.link(node, this.#target);
    const back = this.#network.link(this.#target, node);
    // The machine answers, not the process: one that is off stays silent, one without a listener refuses.
    there.carry(incarnation, () => {
      if (this.#isSettled || this.#target.isOff) return;
      const connection = this.#accepted();
      if (connection === undefined) {
        kernel.note(this.#target.index, REFUSE, node.index);
        back.carry(incarnation, () => settle(failed(this.#address, 'nobody listens there')));
        return;
      }
      this.#connection = connection;
      connection.other.nothingArrivesBeforeUs(back.arrivalUs());
      back.carry(incarnation, () => settle(), connection.other.nothingArrivesBeforeUs(0));
    });
  }

  /** The client's end of a new connection, whose other end the listener has got. */
  #accepted(): SimConnection | undefined {
    const { node, kernel } = this.#incarnation;
    const listening = this.#network.listeners.get(placeOf(this.#target, this.#address));
    if (listening === undefined) return undefined;
    const clientPeer = show(this.#address);
    const client = new SimConnection(this.#incarnation, this.#network, this.#target, clientPeer);
    const serverPeer = 'path' in this.#address ? 'local' : `${node.name}:${this.#network.takePort()}`;
    const server = new SimConnection(listening.incarnation, this.#network, node, serverPeer);
    client.other = server;
    server.other = client;
    kernel.note(this.#target.index, ACCEPT, node.index);
    kernel.after(listening.incarnation, 0, () => listening.accept(server));
    return client;
  }
}
