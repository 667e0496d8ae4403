import { Buffer } from 'node:buffer';
import { connect, type Socket } from 'node:net';

const PROTOCOL_3_0 = 196_608;
const USER = 'postgres';
const HEADER_BYTES = 5;
const TAG_ERROR = 0x45;
const TAG_READY = 0x5a;

/** A prepared statement, by the number under which it was prepared. */
export type Statement = number;

/**
 * A client that does nothing but send prepared statements and wait until each is answered: what it costs is taken from
 * the server that is measured.
 */
export class RawClient implements Disposable {
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);
  #answered: PromiseWithResolvers<void> | undefined;
  #failure: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server has closed a connection')));
  }

  /** As the superuser, whom the server has to believe. */
  static async connect(path: string): Promise<RawClient> {
    const client = new RawClient(connect(path));
    const parameters = Buffer.from(`user\0${USER}\0database\0postgres\0\0`);
    const packet = Buffer.alloc(8);
    packet.writeUInt32BE(packet.length + parameters.length, 0);
    packet.writeUInt32BE(PROTOCOL_3_0, 4);
    await client.#exchange(Buffer.concat([packet, parameters]));
    return client;
  }

  async prepare(statements: readonly string[]): Promise<void> {
    for (const [number, sql] of statements.entries()) {
      await this.#exchange(Buffer.concat([message('P', `s${number}\0${sql}\0\0\0`), message('S', '')]));
    }
  }

  /** @throws what the server answers with an error, after which the client is of no use */
  execute(statement: Statement, values: readonly number[]): Promise<void> {
    const texts = values.map(String);
    const valuesBytes = texts.reduce((sum, text) => sum + 4 + text.length, 0);
    const name = `s${statement}`;
    const bindBytes = 4 + 1 + name.length + 1 + 2 + 2 + valuesBytes + 2;
    const bytes = Buffer.allocUnsafe(1 + bindBytes + 10 + 5);
    let at = bytes.write('B', 0, 'latin1');
    at = bytes.writeUInt32BE(bindBytes, at);
    at = bytes.writeUInt8(0, at);
    at += bytes.write(`${name}\0`, at, 'latin1');
    at = bytes.writeUInt16BE(0, at);
    at = bytes.writeUInt16BE(texts.length, at);
    for (const text of texts) {
      at = bytes.writeUInt32BE(text.length, at);
      at += bytes.write(text, at, 'latin1');
    }
    at = bytes.writeUInt16BE(0, at);
    at += bytes.write('E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04', at, 'latin1');
    return this.#exchange(bytes);
  }

  [Symbol.dispose](): void {
    this.#socket.removeAllListeners('close');
    this.#socket.end(message('X', ''));
  }

  #exchange(bytes: Buffer): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#answered = Promise.withResolvers();
    this.#socket.write(bytes);
    return this.#answered.promise;
  }

  #take(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at + HEADER_BYTES <= bytes.length) {
      const end = at + 1 + bytes.readUInt32BE(at + 1);
      if (end > bytes.length) break;
      if (bytes[at] === TAG_ERROR) this.#fail(new Error(bytes.toString('latin1', at + HEADER_BYTES, end)));
      if (bytes[at] === TAG_READY) this.#answered?.resolve();
      at = end;
    }
    this.#rest = bytes.subarray(at);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#answered?.reject(error);
  }
}

function message(tag: string, body: string): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + body.length);
  bytes.write(tag, 0, 'latin1');
  bytes.writeUInt32BE(4 + body.length, 1);
  bytes.write(body, HEADER_BYTES, 'latin1');
  return bytes;
}
