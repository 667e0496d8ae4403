import { parseTenantId, type TimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import {
  LATEST,
  type PageProtocolVersion,
  REQUEST_BYTES_MAX,
  REQUEST_DATABASE_SIZE,
  REQUEST_GET_PAGE,
  REQUEST_SLRU_SEGMENT,
  readErrorText,
  writeFork,
  writeNumber,
  writeRequestHeader,
  writeSlruSegment,
} from '../../src/contracts/page-messages.ts';
import type { Connection } from '../../src/io/sockets.ts';
import { backendBodyLimits } from '../../src/postgres/wire/backend-messages.ts';
import { FrameCutter } from '../../src/postgres/wire/framing.ts';
import { MODEL_DATABASE, MODEL_TABLESPACE } from '../engine/model-cluster.ts';

export const TENANT = parseTenantId('1'.repeat(32));
const RESULT_BYTES_MAX: number = 16 * 1024 * 1024;

export interface RequestFields {
  readonly tag: number;
  readonly relation?: number;
  readonly fork?: number;
  readonly block?: number;
  /** Of a segment. */
  readonly kind?: number;
  readonly database?: number;
  readonly requestLsn?: Lsn;
  readonly notModifiedSince?: Lsn;
  readonly requestId?: number;
}

/** The message of a request. */
export function encodeRequest(version: PageProtocolVersion, fields: RequestFields): Uint8Array {
  const { tag, relation = 16_384, fork = 0, block = 0, kind = 0, database = MODEL_DATABASE } = fields;
  const { requestLsn = LATEST, notModifiedSince = 0x100_0028 as Lsn, requestId = 1 } = fields;
  const bytes = new Uint8Array(REQUEST_BYTES_MAX);
  const view = new DataView(bytes.buffer);
  let end = writeRequestHeader(version, view, 0, tag, requestId, requestLsn, notModifiedSince);
  if (tag === REQUEST_DATABASE_SIZE) end = writeNumber(view, end, database);
  else if (tag === REQUEST_SLRU_SEGMENT) end = writeSlruSegment(view, end, kind, block);
  else end = writeFork(view, end, MODEL_TABLESPACE, database, relation, fork);
  if (tag === REQUEST_GET_PAGE) end = writeNumber(view, end, block);
  return bytes.subarray(0, end);
}

/** A client of a page service that sends any bytes, reads when it likes, and keeps all that comes. */
export class PageTestClient {
  readonly connection: Connection;
  /** The tags of all messages but CopyData, in their order. */
  tags = '';
  /** The bodies of CopyData. */
  responses: Uint8Array[] = [];
  /** SQLSTATE and text of each ErrorResponse. */
  readonly errors: string[] = [];
  readonly rows: string[] = [];
  isClosed = false;
  #cutter = new FrameCutter({ limits: backendBodyLimits(RESULT_BYTES_MAX), form: 'regular' });
  #waiters: (() => void)[] = [];

  constructor(connection: Connection) {
    this.connection = connection;
    const onOver = (): void => {
      this.isClosed = true;
      this.#wake();
    };
    connection.receive({
      onBytes: (chunk) => this.#take(chunk),
      onEnd: () => {
        connection.end();
        onOver();
      },
      onClosed: onOver,
    });
  }

  /** Resolves when commands may be sent. */
  async startUp(password?: string): Promise<void> {
    const body = Buffer.from('user\0varve\0application_name\0test\0\0');
    const head = Buffer.alloc(8);
    head.writeInt32BE(body.length + 8);
    head.writeInt32BE(0x3_0000, 4);
    this.connection.send(Buffer.concat([head, body]));
    if (password !== undefined) {
      await this.until(() => this.tags.startsWith('R'));
      this.sendMessage('p', Buffer.from(`${password}\0`));
    }
    await this.untilReady(1);
  }

  /** Begins a stream of pages, and resolves when that is answered. */
  async openStream(
    timelineId: TimelineId,
    version: PageProtocolVersion = 3,
    tenantId: string = TENANT,
  ): Promise<void> {
    const before = this.tags.length;
    this.query(`pagestream_v${version} ${tenantId} ${timelineId}`);
    await this.until(() => this.tags.length > before);
  }

  query(sql: string): void {
    this.sendMessage('Q', Buffer.from(`${sql}\0`));
  }

  sendMessage(tag: string, body: Uint8Array): void {
    this.connection.send(frame(tag, body));
  }

  /** Sends requests in one piece. */
  ask(...requests: readonly Uint8Array[]): void {
    this.connection.send(Buffer.concat(requests.map((request) => frame('d', request))));
  }

  /** The texts of those responses that are errors. */
  get refusals(): string[] {
    return this.responses
      .filter((response) => response[0] === 103)
      .map((response) => readErrorText(3, response, 0, response.length));
  }

  /** Waits until this holds of what has come, or no more can come. */
  async until(isEnough: () => boolean): Promise<void> {
    while (!isEnough() && !this.isClosed) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  async untilResponses(count: number): Promise<void> {
    await this.until(() => this.responses.length >= count || this.errors.length > 0);
  }

  /** Waits until the server has been ready so many times. */
  async untilReady(times: number): Promise<void> {
    await this.until(() => this.tags.split('Z').length > times);
  }

  close(): void {
    this.connection.close();
  }

  #take(chunk: Uint8Array): void {
    const cutter = this.#cutter;
    cutter.feed(chunk);
    while (cutter.next()) {
      const tag = String.fromCharCode(cutter.tag);
      const body = cutter.bytes.slice(cutter.bodyOffset, cutter.bodyOffset + cutter.bodyLength);
      if (tag === 'd') this.responses.push(body);
      else this.tags += tag;
      if (tag === 'E') this.errors.push(describeError(body));
      if (tag === 'D') this.rows.push(Buffer.from(body).toString('latin1'));
    }
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}

function describeError(body: Uint8Array): string {
  const fields = Buffer.from(body).toString('utf8').split('\0');
  const field = (letter: string): string => fields.find((text) => text.startsWith(letter))?.slice(1) ?? '';
  return `${field('S')} ${field('C')}: ${field('M')}`;
}

function frame(tag: string, body: Uint8Array): Uint8Array {
  const head = Buffer.alloc(5);
  head.write(tag, 'latin1');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}
