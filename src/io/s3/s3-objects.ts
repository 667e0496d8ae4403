import {
  GetObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { BadRequestError, VarveError } from '../../base/errors.ts';
import { throwIfCancelled } from '../cancelled.ts';
import { bodySizeBytes, checkRange } from '../object-body.ts';
import {
  checkObjectKey,
  checkObjectKeyPrefix,
  compareObjectKeys,
  isObjectKey,
  OBJECT_KEY_BYTES_MAX,
  utf8Length,
} from '../object-key.ts';
import type { S3Location } from '../object-location.ts';
import type { GetOptions, ObjectBody, ObjectStatus, ObjectStore, PutOptions } from '../objects.ts';
import { randomName } from '../random-name.ts';
import { makeDeleteObjects, makeS3Client } from './client.ts';
import { FailedTry, judgeCode, nameOf, statusOf } from './errors.ts';
import { S3_LIMITS, type S3Options } from './options.ts';
import { S3Requests, type Try } from './requests.ts';
import { openBody, sizeOf, takeIn } from './transfer.ts';

/** What one PutObject takes: more needs a multipart upload, which no object of Varve is large enough for. */
const PUT_BYTES_MAX = 5 * 1024 ** 3;
/** What `getStream` asks for at once, and keeps in memory. */
const GET_PIECE_BYTES = 4 * 1024 * 1024;
/** What S3 takes in one DeleteObjects. */
const DELETE_KEYS_MAX = 1000;
/** Metadata of a conditional write: who finds the key taken at a second try may have taken it at the first. */
const NONCE_NAME = 'varve-put';

/** Objects in a bucket of S3, or of a store that speaks its protocol. */
export class S3Objects implements ObjectStore {
  readonly description: string;
  readonly #bucket: string;
  /** Ends with a `/`, or is empty. */
  readonly #prefix: string;
  readonly #client: S3Client;
  readonly #requests: S3Requests;
  readonly #options: S3Options;

  constructor(location: S3Location, options: S3Options) {
    const limits = { ...S3_LIMITS, ...options.limits };
    this.#bucket = location.bucket;
    this.#prefix = location.prefix === '' ? '' : `${location.prefix}/`;
    this.description = `s3://${location.bucket}/${location.prefix}`;
    this.#client = makeS3Client(location, limits, options.credentials);
    this.#requests = new S3Requests(options.clock, options.random, limits);
    this.#options = options;
  }

  async put(key: string, body: ObjectBody, { signal, onlyIfAbsent = false }: PutOptions): Promise<void> {
    const where = this.#where(key);
    if (bodySizeBytes(body) > PUT_BYTES_MAX) {
      throw new BadRequestError('BAD_OBJECT_BODY', `an object has ${PUT_BYTES_MAX} bytes at most`, {
        file: key,
      });
    }
    const what = `PutObject of ${this.#describe(key)}`;
    const nonce = onlyIfAbsent ? randomName(this.#options.random) : undefined;
    await this.#requests.run(what, this.#requests.uploads, signal, async (attempt) => {
      const condition = nonce !== undefined && { IfNoneMatch: '*', Metadata: { [NONCE_NAME]: nonce } };
      const { content, release } = openBody(body, attempt);
      try {
        const command = new PutObjectCommand({
          ...where,
          ...condition,
          Body: content,
          ContentLength: bodySizeBytes(body),
        });
        await this.#client.send(command, { abortSignal: attempt.signal });
      } catch (error) {
        if (nonce === undefined || nameOf(error) !== 'PreconditionFailed') throw error;
        if (attempt.number > 1 && (await this.#head(where, attempt)).Metadata?.[NONCE_NAME] === nonce) return;
        throw new VarveError('precondition', 'OBJECT_EXISTS', `${what}: this object exists already`);
      } finally {
        release();
      }
    });
  }

  async get(key: string, options: GetOptions): Promise<Uint8Array> {
    const { start, end } = checkRange(options);
    if (start !== end) return await this.#get(key, start, end, undefined, options.signal);
    // S3 has no empty ranges.
    if ((await this.head(key, options.signal)) !== undefined) return new Uint8Array(0);
    throw new VarveError('not-found', 'OBJECT_NOT_FOUND', `there is no ${this.#describe(key)}`);
  }

  /**
   * Asks for one range after the other: a connection whose bytes nobody takes in would hold a permit for as long as
   * the caller likes, and a store ends it some time.
   */
  async *getStream(key: string, options: GetOptions): AsyncGenerator<Uint8Array> {
    const where = this.#where(key);
    const range = checkRange(options);
    const what = `HeadObject of ${this.#describe(key)}`;
    const { others } = this.#requests;
    const status = await this.#requests.run(what, others, options.signal, (attempt) =>
      this.#head(where, attempt),
    );
    const sizeBytes = sizeOf(what, status.ContentLength);
    const end = Math.min(range.end ?? sizeBytes, sizeBytes);
    for (let start = range.start; start < end; start += GET_PIECE_BYTES) {
      const pieceEnd = Math.min(start + GET_PIECE_BYTES, end);
      yield await this.#get(key, start, pieceEnd, status.ETag, options.signal);
      throwIfCancelled(options.signal);
    }
  }

  async head(key: string, signal: AbortSignal): Promise<ObjectStatus | undefined> {
    const where = this.#where(key);
    const what = `HeadObject of ${this.#describe(key)}`;
    return await this.#requests.run(what, this.#requests.others, signal, async (attempt) => {
      try {
        const { ContentLength, LastModified } = await this.#head(where, attempt);
        return { key, sizeBytes: sizeOf(what, ContentLength), modifiedMs: LastModified?.getTime() ?? 0 };
      } catch (error) {
        if (statusOf(error) === 404) return undefined;
        throw error;
      }
    });
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<ObjectStatus> {
    checkObjectKeyPrefix(prefix);
    const what = `ListObjectsV2 of ${this.#describe(prefix)}`;
    let token: string | undefined;
    let last = '';
    do {
      const page = await this.#requests.run(what, this.#requests.others, signal, (attempt) =>
        this.#listPage(this.#prefix + prefix, token, attempt),
      );
      const decode = (text = ''): string => (page.EncodingType === 'url' ? decodeListed(text) : text);
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        const bucketKey = decode(Key);
        if (!bucketKey.startsWith(this.#prefix + prefix)) throw outOfOrder(what);
        if (last !== '' && compareObjectKeys(last, bucketKey) >= 0) throw outOfOrder(what);
        last = bucketKey;
        const key = bucketKey.slice(this.#prefix.length);
        // Others may put objects there too, such as those that stand for a folder. They are none of ours.
        if (!isObjectKey(key)) continue;
        throwIfCancelled(signal);
        yield { key, sizeBytes: sizeOf(what, Size), modifiedMs: LastModified?.getTime() ?? 0 };
      }
      token = nextToken(what, page, token);
    } while (token !== undefined);
  }

  async remove(keys: readonly string[], signal: AbortSignal): Promise<void> {
    const bucketKeys = [...new Set(keys.map((key) => this.#where(key).Key))];
    const what = `DeleteObjects in ${this.description}`;
    for (let i = 0; i < bucketKeys.length; i += DELETE_KEYS_MAX) {
      const some = bucketKeys.slice(i, i + DELETE_KEYS_MAX);
      await this.#requests.run(what, this.#requests.others, signal, (attempt) =>
        this.#deleteObjects(what, some, attempt),
      );
    }
  }

  close(): void {
    this.#client.destroy();
  }

  #where(key: string): { Bucket: string; Key: string } {
    checkObjectKey(key);
    const bucketKey = this.#prefix + key;
    if (utf8Length(bucketKey) > OBJECT_KEY_BYTES_MAX) {
      throw new BadRequestError('BAD_OBJECT_KEY', 'the key is too long with the prefix of the store', {
        file: key,
      });
    }
    return { Bucket: this.#bucket, Key: bucketKey };
  }

  #describe(key: string): string {
    return `s3://${this.#bucket}/${this.#prefix}${key}`;
  }

  async #head(where: { Bucket: string; Key: string }, attempt: Try): Promise<HeadObjectCommandOutput> {
    return await this.#client.send(new HeadObjectCommand(where), { abortSignal: attempt.signal });
  }

  async #get(
    key: string,
    start: number,
    end: number | undefined,
    etag: string | undefined,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const where = this.#where(key);
    const what = `GetObject of ${this.#describe(key)}`;
    const isWhole = start === 0 && end === undefined;
    const range = isWhole ? undefined : `bytes=${start}-${end === undefined ? '' : end - 1}`;
    const command = { ...where, ...(range && { Range: range }), ...(etag && { IfMatch: etag }) };
    return await this.#requests.run(what, this.#requests.others, signal, async (attempt) => {
      try {
        const answer = await this.#client.send(new GetObjectCommand(command), {
          abortSignal: attempt.signal,
        });
        if (!isWhole && answer.ContentRange?.startsWith(`bytes ${start}-`) !== true) {
          throw new VarveError('unavailable', 'OBJECT_STORE', `${what}: the store does not know ranges`);
        }
        return await takeIn(what, answer, end === undefined ? undefined : end - start, attempt);
      } catch (error) {
        // The range begins beyond the end.
        if (!isWhole && statusOf(error) === 416) return new Uint8Array(0);
        if (statusOf(error) !== 412) throw error;
        throw new VarveError('unavailable', 'OBJECT_STORE', `${what}: it was replaced while it was read`);
      }
    });
  }

  async #listPage(
    prefix: string,
    token: string | undefined,
    attempt: Try,
  ): Promise<ListObjectsV2CommandOutput> {
    const command = new ListObjectsV2Command({
      Bucket: this.#bucket,
      Prefix: prefix,
      // Keys of others may have characters that XML has not.
      EncodingType: 'url',
      ...(token !== undefined && { ContinuationToken: token }),
    });
    return await this.#client.send(command, { abortSignal: attempt.signal });
  }

  async #deleteObjects(what: string, bucketKeys: readonly string[], attempt: Try): Promise<void> {
    const Objects = bucketKeys.map((Key) => ({ Key }));
    const command = makeDeleteObjects({ Bucket: this.#bucket, Delete: { Objects, Quiet: true } });
    const { Errors = [] } = await this.#client.send(command, { abortSignal: attempt.signal });
    const failures = Errors.filter(({ Code }) => Code !== 'NoSuchKey').map(({ Code = '', Message = '' }) =>
      judgeCode(what, Code, Message),
    );
    const failure = failures.find(({ isPassing }) => !isPassing) ?? failures[0];
    if (failure !== undefined) throw new FailedTry(failure);
  }
}

function nextToken(
  what: string,
  { IsTruncated, NextContinuationToken }: ListObjectsV2CommandOutput,
  before: string | undefined,
): string | undefined {
  if (IsTruncated !== true) return undefined;
  if (NextContinuationToken !== undefined && NextContinuationToken !== before) return NextContinuationToken;
  throw new VarveError('unavailable', 'OBJECT_STORE', `${what}: a list that does not go on where it was cut`);
}

const outOfOrder = (what: string): VarveError =>
  new VarveError(
    'unavailable',
    'OBJECT_STORE',
    `${what}: the store lists other keys than asked for, or not in order`,
  );

/** Keys come as in a form: a space is a plus sign. */
function decodeListed(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch (error) {
    throw new VarveError('unavailable', 'OBJECT_STORE', 'a listed key cannot be read', { file: text }, error);
  }
}
