import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { S3Credentials } from '../../src/io/s3/options.ts';

const require = createRequire(import.meta.url);

/** The only ones that s3rver knows. */
export const S3_CREDENTIALS: S3Credentials = { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' };

/** What we use of s3rver, which has no types. */
interface StoredObject {
  readonly bucket: string;
  readonly key: string;
  readonly size: number;
  /** Of an object that is written, its request. */
  readonly content: IncomingMessage;
  readonly metadata: Readonly<Record<string, string | undefined>>;
  range?: { start: number; end: number };
}
interface ListOptions {
  readonly startAfter?: string;
  readonly maxKeys?: number;
}
interface Listed {
  readonly objects: readonly StoredObject[];
  readonly isTruncated: boolean;
}
interface Store {
  readonly rootDirectory: string;
  getResourcePath(bucket: string, key: string, resource: string): string;
  getMetadata(bucket: string, key: string): Promise<Record<string, string>>;
  putMetadata(bucket: string, key: string, metadata: object, md5: string): Promise<void>;
  getObject(
    bucket: string,
    key: string,
    options?: { start?: number; end?: number },
  ): Promise<StoredObject | null>;
  listObjects(bucket: string, options: ListOptions): Promise<Listed>;
}
interface Server {
  store: Store;
  readonly context: { store: Store };
  readonly httpServer: { closeAllConnections(): void };
  run(): Promise<{ port: number }>;
  close(): Promise<void>;
}

const S3rver = require('s3rver') as new (options: object) => Server;
const FilesystemStore = require('s3rver/lib/stores/filesystem.js') as new (directory: string) => Store;
const S3Object = require('s3rver/lib/models/object.js') as new (...args: unknown[]) => StoredObject;
const S3Error = require('s3rver/lib/models/error.js') as new (code: string, message: string) => Error;

/**
 * s3rver's store, corrected where it differs from S3: objects appear whole or not at all, before the answer to the
 * write and not some time after it; conditional writes; ranges of one byte and of empty objects; lists in order.
 */
class WholeObjectStore extends FilesystemStore implements Store {
  #writes = 0;

  async putObject({ bucket, key, content, metadata }: StoredObject): Promise<{ size: number; md5: string }> {
    const temporary = join(this.rootDirectory, '..', `write-${this.#writes++}`);
    const hash = createHash('md5');
    let size = 0;
    const count = new Transform({
      transform(chunk: Uint8Array, _encoding, done) {
        hash.update(chunk);
        size += chunk.length;
        done(null, chunk);
      },
    });
    try {
      await pipeline(content, count, createWriteStream(temporary));
      if (size !== Number(metadata['content-length']))
        throw new S3Error('IncompleteBody', 'the body was cut off');
      const path = this.getResourcePath(bucket, key, 'object');
      mkdirSync(dirname(path), { recursive: true });
      if (content.headers['if-none-match'] === '*' && existsSync(path)) {
        throw new S3Error(
          'PreconditionFailed',
          'At least one of the pre-conditions you specified did not hold',
        );
      }
      renameSync(temporary, path);
    } finally {
      rmSync(temporary, { force: true });
    }
    const md5 = hash.digest('hex');
    await this.putMetadata(bucket, key, metadata, md5);
    return { size, md5 };
  }

  override async getObject(
    bucket: string,
    key: string,
    options: { start?: number; end?: number } = {},
  ): Promise<StoredObject | null> {
    if (options.start === undefined) return await super.getObject(bucket, key, options);
    const path = this.getResourcePath(bucket, key, 'object');
    if (!existsSync(path)) return null;
    const { size } = await stat(path);
    const range = { start: options.start, end: Math.min(options.end ?? size, size - 1) };
    const content = range.start < size ? createReadStream(path, range) : null;
    const object = new S3Object(bucket, key, content, await this.getMetadata(bucket, key));
    object.range = range;
    return object;
  }

  override async listObjects(bucket: string, options: ListOptions): Promise<Listed> {
    const { startAfter = '', maxKeys = Number.POSITIVE_INFINITY } = options;
    const all = await super.listObjects(bucket, {
      ...options,
      startAfter: '',
      maxKeys: Number.POSITIVE_INFINITY,
    });
    const rest = all.objects
      .filter(({ key }) => compareBytes(key, startAfter) > 0)
      .sort((left, right) => compareBytes(left.key, right.key));
    return { ...all, objects: rest.slice(0, maxKeys), isTruncated: rest.length > maxKeys };
  }
}

const compareBytes = (left: string, right: string): number =>
  Buffer.compare(Buffer.from(left), Buffer.from(right));

/**
 * s3rver makes its continuation tokens with DES, which OpenSSL 3 has not. Three times DES with the same key is DES.
 * Only modules that are required see the change.
 */
function allowDes(): void {
  const crypto = require('node:crypto') as Record<string, (...args: unknown[]) => unknown>;
  for (const name of ['createCipheriv', 'createDecipheriv']) {
    const original = crypto[name];
    crypto[name] = (algorithm, key, ...rest) =>
      algorithm === 'des'
        ? original('des-ede3-cbc', Buffer.concat([key, key, key] as Buffer[]), ...rest)
        : original(algorithm, key, ...rest);
  }
}
allowDes();

/** s3rver reads keys to remove as if they were numbers, or words between blanks. */
function keepKeys(): void {
  const xml = createRequire(require.resolve('s3rver'))('fast-xml-parser') as {
    parse(text: string, options?: object): unknown;
  };
  const { parse } = xml;
  xml.parse = (text, options) => parse(text, { ...options, trimValues: false, parseNodeValue: false });
}
keepKeys();

export interface S3Server extends AsyncDisposable {
  readonly endpoint: string;
  readonly bucket: string;
}

/** Starts a store that speaks the protocol of S3, on a free port, with one empty bucket. */
export async function startS3Server(): Promise<S3Server> {
  const directory = await mkdtemp(join(tmpdir(), 'varve-s3-'));
  const buckets = join(directory, 'buckets');
  const bucket = 'varve-test';
  const server = new S3rver({
    address: '127.0.0.1',
    port: 0,
    silent: true,
    directory: buckets,
    configureBuckets: [{ name: bucket }],
  });
  server.store = server.context.store = new WholeObjectStore(buckets);
  const { port } = await server.run();
  return {
    endpoint: `http://127.0.0.1:${port}`,
    bucket,
    [Symbol.asyncDispose]: async () => {
      const closed = server.close();
      server.httpServer.closeAllConnections();
      await closed;
      await rm(directory, { recursive: true });
    },
  };
}
