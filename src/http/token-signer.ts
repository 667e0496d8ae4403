import { importPKCS8, SignJWT } from 'jose';
import { BadRequestError } from '../base/errors.ts';
import { encodeClaims, type TokenClaims } from '../contracts/token.ts';

/** Makes tokens, for whoever has the private key. */
export class TokenSigner {
  readonly #key: Awaited<ReturnType<typeof importPKCS8>>;

  private constructor(key: Awaited<ReturnType<typeof importPKCS8>>) {
    this.#key = key;
  }

  /**
   * @param privateKeyPem an Ed25519 key in PKCS #8
   * @throws BadRequestError BAD_TOKEN_KEY; it quotes nothing of the key
   */
  static async fromPem(privateKeyPem: string): Promise<TokenSigner> {
    try {
      return new TokenSigner(await importPKCS8(privateKeyPem, 'EdDSA'));
    } catch {
      // The cause is left out on purpose: it may quote the key.
      throw new BadRequestError('BAD_TOKEN_KEY', 'this is no Ed25519 private key in PKCS #8 PEM form');
    }
  }

  sign(claims: TokenClaims): Promise<string> {
    return new SignJWT(encodeClaims(claims)).setProtectedHeader({ alg: 'EdDSA', typ: 'JWT' }).sign(this.#key);
  }
}
