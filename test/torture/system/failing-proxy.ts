import { once } from 'node:events';
import {
  Agent,
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { SeededRandom } from '../../support/seeded-random.ts';

/**
 * How a store behaves: it works; each second request fails, with an answer or without one, before or after it was carried out;
 * each takes some time longer; or none is answered.
 */
export type StoreMood = 'well' | 'failing' | 'slow' | 'silent';

const SLOW_MS_MAX = 1500;

/** Stands before an object store, and makes it as stores are at their worst. */
export class FailingProxy implements AsyncDisposable {
  /** What did not go as it should have. */
  failed = 0;
  readonly endpoint: string;
  readonly #server: Server;
  readonly #target: URL;
  readonly #random: SeededRandom;
  readonly #agent = new Agent({ keepAlive: true });
  #mood: StoreMood = 'well';
  /** Given when the mood is another one. */
  #changed = new AbortController();

  private constructor(server: Server, target: URL, random: SeededRandom) {
    this.#server = server;
    this.#target = target;
    this.#random = random;
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('request', (asked, answer) => void this.#serve(asked, answer));
  }

  static async start(target: string, random: SeededRandom): Promise<FailingProxy> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FailingProxy(server, new URL(target), random);
  }

  set mood(mood: StoreMood) {
    this.#mood = mood;
    this.#changed.abort();
    this.#changed = new AbortController();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#changed.abort();
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
    this.#agent.destroy();
  }

  async #serve(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const changed = this.#changed.signal;
    asked.on('error', () => undefined);
    answer.on('error', () => undefined);
    const cut = (): void => {
      this.failed++;
      asked.socket.destroy();
    };
    if (this.#mood === 'silent') {
      await once(changed, 'abort');
      return cut();
    }
    if (this.#mood === 'slow') {
      await delay(this.#random.below(SLOW_MS_MAX), undefined, { signal: changed }).catch(() => undefined);
    }
    const isFailing = this.#mood === 'failing' && this.#random.chance(0.5);
    const manner = isFailing ? this.#random.below(3) : -1;
    if (manner === 0) return cut();
    if (manner === 1) {
      this.failed++;
      asked.resume();
      answer.writeHead(503, { connection: 'close' }).end();
      return;
    }
    this.#forward(asked, answer, manner === 2 ? cut : undefined);
  }

  /** @param lose in the place of the answer, which has come: what was asked for is done */
  #forward(asked: IncomingMessage, answer: ServerResponse, lose: (() => void) | undefined): void {
    const { method, url, headers } = asked;
    const { hostname, port } = this.#target;
    const options = { hostname, port, path: url, headers, agent: this.#agent, setHost: false };
    const forwarded = request(method === undefined ? options : { ...options, method });
    const cut = (): void => void asked.socket.destroy();
    forwarded.on('error', cut);
    asked.on('close', () => {
      if (!asked.complete) forwarded.destroy();
    });
    forwarded.on('response', (response) => {
      response.on('error', cut);
      if (lose !== undefined) {
        response.resume();
        response.on('end', lose);
        return;
      }
      answer.writeHead(response.statusCode as number, response.rawHeaders);
      response.pipe(answer);
    });
    asked.pipe(forwarded);
  }
}
