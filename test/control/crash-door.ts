import pg from 'pg';
import { VarveError } from '../../src/base/errors.ts';
import type { DatabaseDoor } from '../../src/control/database/database.ts';
import type { Http } from '../../src/io/http.ts';

/** Whether the effect at which a process ends has happened. */
export type Moment = 'before' | 'after';

/**
 * The doors of one life of a control plane, which may end at any of its effects: from then on nothing that it does reaches
 * anybody, and its connections to the database break.
 */
export class CrashDoor {
  /** Effects so far. */
  count = 0;
  isDead = false;
  readonly #connections = new Set<pg.Client>();
  readonly #config: pg.ClientConfig;
  #crashAt: number | undefined;
  #moment: Moment = 'before';
  readonly #died = Promise.withResolvers<void>();

  constructor(config: pg.ClientConfig) {
    this.#config = { ...config, types: { getTypeParser: parserOf as typeof pg.types.getTypeParser } };
  }

  /** Resolves when it has died. */
  get died(): Promise<void> {
    return this.#died.promise;
  }

  /** @param effects from now on: 1 is the next one */
  crashAfter(effects: number, moment: Moment): void {
    this.#crashAt = this.count + effects;
    this.#moment = moment;
  }

  /** It goes on living, if it has not died yet. */
  spare(): void {
    this.#crashAt = undefined;
  }

  /** Carries an effect out, or dies of it. */
  async pass<Result>(effect: () => Promise<Result>): Promise<Result> {
    if (this.isDead) throw dead();
    this.count++;
    const isLast = this.count === this.#crashAt;
    if (isLast && this.#moment === 'before') this.#die();
    if (this.isDead) throw dead();
    const result = await effect();
    if (isLast) this.#die();
    if (this.isDead) throw dead();
    return result;
  }

  #die(): void {
    this.isDead = true;
    for (const client of this.#connections) streamOf(client).destroy();
    this.#died.resolve();
  }

  /** HTTP requests are effects; what it serves ends with it. */
  http(real: Http): Http {
    return {
      serve: (options) =>
        real.serve({
          ...options,
          handler: async (request, peer) => {
            const response = await options.handler(request, peer);
            // Nobody gets an answer from a process that has ended.
            return this.isDead
              ? new Response(null, { status: 502, headers: { connection: 'close' } })
              : response;
          },
        }),
      request: (request, trust) => this.pass(() => real.request(request, trust)),
    };
  }

  /** Statements are effects. */
  database(): DatabaseDoor {
    const pool = new pg.Pool({ ...this.#config, max: 8 });
    pool.on('error', () => undefined);
    pool.on('connect', (client) => this.#watch(client));
    const connect = async () => {
      const client = await pool.connect();
      return new Proxy(client, {
        get: (target, name) => {
          const value: unknown = Reflect.get(target, name);
          if (name === 'query') {
            return (text: string, values: unknown[]) => this.pass(() => target.query(text, values));
          }
          // A connection that broke in the middle of a transaction is of no more use.
          if (name === 'release') return (destroy?: boolean) => target.release(destroy ?? this.isDead);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    };
    return {
      pool: { connect, end: () => pool.end(), options: {} } as unknown as DatabaseDoor['pool'],
      hold: async (onLost) => {
        const client = new pg.Client(this.#config);
        this.#watch(client);
        client.on('end', () => onLost(new Error('the connection has ended')));
        await client.connect();
        return {
          query: client.query.bind(client) as never,
          end: async () => {
            if (!this.isDead) await client.end();
          },
        };
      },
    };
  }

  #watch(client: pg.Client | pg.PoolClient): void {
    const known = client as pg.Client;
    this.#connections.add(known);
    known.on('error', () => undefined);
    known.on('end', () => this.#connections.delete(known));
  }
}

const INT8_OID = 20;

const parserOf = (oid: number, format?: 'text') =>
  oid === INT8_OID ? Number : pg.types.getTypeParser(oid, format);

const dead = (): VarveError => new VarveError('unavailable', 'CRASHED', 'this process has ended');

const streamOf = (client: pg.Client): { destroy(): void } =>
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream;
