import { errors, jwtVerify } from 'jose';
import { VarveError } from '../base/errors.ts';
import { decodeClaims, type TokenClaims, tokenRefused } from '../contracts/token.ts';
import type { Clock } from '../io/clock.ts';
import type { VerificationKey } from './token-keys.ts';

/** How far the clocks of whoever signs and whoever verifies may be apart. */
export const CLOCK_LEEWAY_S = 60;

/** Tokens have some 200 characters. */
export const TOKEN_LENGTH_MAX = 8192;

/** Believes tokens that one of its keys has signed with EdDSA, and that have not expired. */
export class TokenVerifier {
  readonly #keys: readonly VerificationKey[];
  readonly #clock: Clock;

  constructor(keys: readonly VerificationKey[], clock: Clock) {
    if (keys.length === 0) {
      throw new VarveError('precondition', 'NO_TOKEN_KEYS', 'tokens cannot be verified without a key');
    }
    this.#keys = keys;
    this.#clock = clock;
  }

  /** @throws VarveError TOKEN_REFUSED for any token that is not to be believed; the reason is for logs only. */
  async verify(token: string): Promise<TokenClaims> {
    if (token.length > TOKEN_LENGTH_MAX) throw tokenRefused(`the token has ${token.length} characters`);
    for (const key of this.#keys) {
      const payload = await this.#verifyWith(token, key);
      if (payload !== undefined) return decodeClaims(payload);
    }
    throw tokenRefused('none of the keys has signed the token');
  }

  /** undefined where another key may have signed it. */
  async #verifyWith(token: string, key: VerificationKey): Promise<object | undefined> {
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms: ['EdDSA'],
        clockTolerance: CLOCK_LEEWAY_S,
        currentDate: new Date(this.#clock.wallMs()),
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JWSSignatureVerificationFailed) return undefined;
      if (error instanceof errors.JOSEError) {
        throw tokenRefused(`the token is not valid: ${error.code}`, error);
      }
      throw error;
    }
  }
}
