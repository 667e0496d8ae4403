import type { Clock } from '../clock.ts';
import type { Random } from '../random.ts';

export interface S3Options {
  readonly clock: Clock;
  readonly random: Random;
  /** Otherwise what the SDK finds: the environment, the profiles, the machine's role. */
  readonly credentials?: S3Credentials;
  readonly limits?: Partial<S3Limits>;
}

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface S3Limits {
  /** Writes that are under way at once. */
  readonly uploads: number;
  /**
   * All other requests that are under way at once. They have a limit of their own since a write may wait for its
   * pieces, which may come from a read.
   */
  readonly requests: number;
  readonly connectTimeoutMs: number;
  /** How long a request may go on without a step forward: an answer, a piece that was sent, a piece that came. */
  readonly stallTimeoutMs: number;
  /** How often a request is tried in all. */
  readonly tries: number;
  /** The longest wait before the second try. It doubles with each further one, up to `retryDelayMaxMs`. */
  readonly retryDelayMs: number;
  readonly retryDelayMaxMs: number;
}

export const S3_LIMITS: S3Limits = {
  uploads: 32,
  requests: 64,
  connectTimeoutMs: 5_000,
  stallTimeoutMs: 30_000,
  tries: 6,
  retryDelayMs: 200,
  retryDelayMaxMs: 10_000,
};
