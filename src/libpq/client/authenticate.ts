import { Buffer } from 'node:buffer';
import { BadRequestError } from '../../base/errors.ts';
import type { Random } from '../../io/random.ts';
import type { AuthenticationRequest } from '../../postgres/wire/authentication-request.ts';
import {
  encodeMd5Password,
  encodePassword,
  encodeSaslInitialResponse,
} from '../../postgres/wire/authentication-response.ts';
import {
  checkScramServerFinal,
  SCRAM_RAW_NONCE_BYTES,
  SCRAM_SHA_256_NAME,
  type ScramClientFinal,
  scramClientFinal,
  scramClientFirst,
} from '../../postgres/wire/scram.ts';
import { ProtocolError } from '../../postgres/wire/wire-error.ts';

/** A password or token, or where to get one each time that a server asks. */
export type PasswordSource = string | (() => string | Promise<string>);

const utf8 = new TextEncoder();
const textOf = (data: Uint8Array): string => Buffer.from(data).toString('utf8');

/**
 * The client's side of a login (fe-auth.c): no password, a password or token in clear text, SCRAM-SHA-256, and MD5 where
 * the caller has said who logs in. What else there is is refused by name. Once SCRAM has begun, the server has to prove that it knows the password, too.
 */
export class ClientAuthentication {
  readonly #password: PasswordSource | undefined;
  readonly #random: Random;
  readonly #user: string | undefined;
  #nonce: string | undefined;
  #final: ScramClientFinal | undefined;
  #isServerProven = false;

  /** @param user given where MD5 may be answered, too */
  constructor(password: PasswordSource | undefined, random: Random, user?: string) {
    this.#password = password;
    this.#random = random;
    this.#user = user;
  }

  /** What to answer the server; undefined: nothing, it goes on by itself. */
  async answer(request: AuthenticationRequest): Promise<Uint8Array | undefined> {
    switch (request.method) {
      case 'Ok':
        if (this.#nonce !== undefined && !this.#isServerProven) refuseOrder(request);
        return undefined;
      case 'CleartextPassword':
        if (this.#nonce !== undefined) refuseOrder(request);
        return encodePassword(await this.#getPassword());
      case 'MD5Password':
        if (this.#nonce !== undefined) refuseOrder(request);
        if (this.#user === undefined) throw unsupported('the method md5');
        return encodeMd5Password(await this.#getPassword(), this.#user, request.salt);
      case 'SASL':
        return this.#begin(request.mechanisms);
      case 'SASLContinue': {
        if (this.#nonce === undefined || this.#final !== undefined) return refuseOrder(request);
        this.#final = scramClientFinal(await this.#getPassword(), this.#nonce, textOf(request.data));
        return utf8.encode(this.#final.message);
      }
      case 'SASLFinal':
        if (this.#final === undefined || this.#isServerProven) return refuseOrder(request);
        checkScramServerFinal(this.#final, textOf(request.data));
        this.#isServerProven = true;
        return undefined;
    }
  }

  #begin(mechanisms: readonly string[]): Uint8Array {
    if (this.#nonce !== undefined) return refuseOrder({ method: 'SASL', mechanisms });
    if (!mechanisms.includes(SCRAM_SHA_256_NAME)) throw unsupported(`each of ${mechanisms.join(', ')}`);
    this.#nonce = Buffer.from(this.#random.bytes(SCRAM_RAW_NONCE_BYTES)).toString('base64');
    const response = utf8.encode(scramClientFirst(this.#nonce));
    return encodeSaslInitialResponse({ mechanism: SCRAM_SHA_256_NAME, response });
  }

  async #getPassword(): Promise<string> {
    const password = typeof this.#password === 'function' ? await this.#password() : this.#password;
    if (password !== undefined) return password;
    throw new BadRequestError('NO_PASSWORD', 'the server asks for a password, and none is given');
  }
}

function refuseOrder(request: AuthenticationRequest): never {
  throw new ProtocolError('UNEXPECTED_MESSAGE', `Authentication ${request.method} stands where none may`);
}

function unsupported(what: string): BadRequestError {
  return new BadRequestError(
    'UNSUPPORTED_AUTHENTICATION',
    `the server asks for a proof of identity by ${what}, which is not spoken here`,
  );
}
