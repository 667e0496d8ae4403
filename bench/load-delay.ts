// A process of the load's benchmark: hands on what a server sends, later. Timers count whole milliseconds, so another thread
// waits, with a clock that knows parts of them.
import { connect, createServer, type Socket } from 'node:net';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { serveCommands } from '../test/support/command-process.ts';
import type { DelayCommands } from './load/delay-messages.ts';

/** Until when the alarm waits: of performance.timeOrigin + now(), in milliseconds; 0: until it is told. */
const ALARM_WORDS = 1;

interface Chunk {
  readonly to: Socket;
  readonly bytes: Uint8Array | undefined;
  readonly dueMs: number;
}

function runAlarm(told: Int32Array): void {
  for (;;) {
    Atomics.wait(told, 0, 0);
    const waitUs = Atomics.exchange(told, 0, 0);
    Atomics.wait(told, ALARM_WORDS, 0, waitUs / 1000);
    parentPort?.postMessage(undefined);
  }
}

class Delay {
  readonly #delayMs: number;
  readonly #chunks: Chunk[] = [];
  readonly #told = new Int32Array(new SharedArrayBuffer((1 + ALARM_WORDS) * Int32Array.BYTES_PER_ELEMENT));
  readonly #alarm: Worker;
  #isArmed = false;

  constructor(delayMs: number) {
    this.#delayMs = delayMs;
    this.#alarm = new Worker(new URL(import.meta.url), { workerData: this.#told });
    this.#alarm.on('message', () => {
      this.#isArmed = false;
      this.#handOn();
    });
  }

  /** @param bytes undefined: the end */
  send(to: Socket, bytes: Uint8Array | undefined): void {
    this.#chunks.push({ to, bytes, dueMs: performance.now() + this.#delayMs });
    this.#handOn();
  }

  #handOn(): void {
    const nowMs = performance.now();
    let due = 0;
    for (const { to, bytes, dueMs } of this.#chunks) {
      if (dueMs > nowMs) break;
      due++;
      if (bytes === undefined) to.end();
      else to.write(bytes);
    }
    this.#chunks.splice(0, due);
    const [next] = this.#chunks;
    if (next === undefined || this.#isArmed) return;
    this.#isArmed = true;
    Atomics.store(this.#told, 0, Math.max(1, Math.round((next.dueMs - nowMs) * 1000)));
    Atomics.notify(this.#told, 0);
  }
}

function listen({ targetPort, delayMs }: DelayCommands['listen']['argument']): Promise<number> {
  const delay = new Delay(delayMs);
  const server = createServer({ noDelay: true }, (client) => {
    const target = connect({ host: '127.0.0.1', port: targetPort, noDelay: true });
    client.on('data', (bytes) => target.write(bytes));
    client.on('end', () => target.end());
    target.on('data', (bytes) => delay.send(client, bytes));
    target.on('end', () => delay.send(client, undefined));
    // One side is gone, so the other has nobody to talk to.
    for (const [one, other] of [
      [client, target],
      [target, client],
    ] as const) {
      one.on('error', () => other.destroy());
    }
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
  });
}

if (isMainThread) serveCommands<DelayCommands>({ listen }, async () => undefined);
else runAlarm(workerData as Int32Array);
