// A process of the load's benchmark: one of those between which a page goes. What it does not do is the rest.
import { connect, createServer, type Socket } from 'node:net';
import { serveCommands } from '../test/support/command-process.ts';
import { HOP_ANSWER_BYTES, HOP_REQUEST_BYTES, type HopCommands } from './load/hop-messages.ts';

function listen(onClient: (client: Socket) => void): Promise<number> {
  const server = createServer({ noDelay: true }, (client) => {
    // Whoever asks has enough.
    client.on('error', () => client.destroy());
    onClient(client);
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
  });
}

/** Tells of each whole message. */
function eachMessage(socket: Socket, messageBytes: number, onMessage: () => void): void {
  let rest = 0;
  socket.on('data', (bytes) => {
    rest += bytes.length;
    for (; rest >= messageBytes; rest -= messageBytes) onMessage();
  });
}

const to = (port: number): Socket => connect({ host: '127.0.0.1', port, noDelay: true });

const answer = (): Promise<number> => {
  const page = new Uint8Array(HOP_ANSWER_BYTES);
  return listen((client) => eachMessage(client, HOP_REQUEST_BYTES, () => client.write(page)));
};

const relay = (port: number): Promise<number> =>
  listen((client) => {
    const target = to(port);
    client.on('data', (bytes) => target.write(bytes));
    target.on('data', (bytes) => client.write(bytes));
    client.on('close', () => target.destroy());
  });

async function ask({ port, count }: HopCommands['ask']['argument']): Promise<number[]> {
  const socket = to(port);
  const request = new Uint8Array(HOP_REQUEST_BYTES);
  let onAnswer: () => void = () => undefined;
  eachMessage(socket, HOP_ANSWER_BYTES, () => onAnswer());
  const times: number[] = [];
  for (let index = 0; index < count; index++) {
    const beganAtMs = performance.now();
    const answered = new Promise<void>((resolve, reject) => {
      onAnswer = resolve;
      socket.once('error', reject);
    });
    socket.write(request);
    await answered;
    socket.removeAllListeners('error');
    times.push((performance.now() - beganAtMs) * 1000);
  }
  socket.destroy();
  return times;
}

serveCommands<HopCommands>({ answer, relay, ask }, async () => undefined);
