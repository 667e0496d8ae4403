import { createHash } from 'node:crypto';
import {
  DeleteObjectsCommand,
  type DeleteObjectsCommandInput,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import type { S3Location } from '../object-location.ts';
import type { S3Credentials, S3Limits } from './options.ts';

/** What stores that are not Amazon's are called, where nobody says otherwise: it is a part of each signature. */
const REGION_OF_ENDPOINT = 'us-east-1';

const nothing = (): void => undefined;
/** Every failure is in an error already, and requests hold secrets. Without a logger the SDK writes to the console. */
const SILENCE: Required<NonNullable<S3ClientConfig['logger']>> = {
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
};

/** The SDK's client, without its own retries: those cannot make a stream anew. */
export function makeS3Client(
  location: S3Location,
  limits: S3Limits,
  credentials: S3Credentials | undefined,
): S3Client {
  const region = location.region ?? (location.endpoint === undefined ? undefined : REGION_OF_ENDPOINT);
  const sockets = { maxSockets: limits.uploads + limits.requests };
  return new S3Client({
    ...(region !== undefined && { region }),
    ...(location.endpoint !== undefined && { endpoint: location.endpoint }),
    ...(credentials !== undefined && { credentials }),
    forcePathStyle: location.isPathStyle,
    maxAttempts: 1,
    logger: SILENCE,
    // Older stores take the trailing checksum of a stream for a part of the object.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // It would take a new connection for each upload.
    expectContinueHeader: false,
    requestHandler: {
      connectionTimeout: limits.connectTimeoutMs,
      httpAgent: sockets,
      httpsAgent: sockets,
      logger: SILENCE,
    },
  });
}

/** With a Content-MD5, without which many stores refuse to remove several objects at once: the SDK sends a CRC only. */
export function makeDeleteObjects(input: DeleteObjectsCommandInput): DeleteObjectsCommand {
  const command = new DeleteObjectsCommand(input);
  command.middlewareStack.add(
    (next) => async (built) => {
      const request = built.request as { body?: unknown; headers: Record<string, string> };
      if (typeof request.body === 'string') {
        request.headers['content-md5'] = createHash('md5').update(request.body).digest('base64');
      }
      return await next(built);
    },
    { step: 'build', name: 'contentMd5' },
  );
  return command;
}
