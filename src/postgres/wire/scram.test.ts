import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VarveError } from '../../base/errors.ts';
import {
  checkScramServerFinal,
  deriveScramSecret,
  formatScramSecret,
  parseScramSecret,
  scramClientFinal,
  scramClientFirst,
  scramServerFinal,
  scramServerFirst,
} from './scram.ts';
import { ProtocolError } from './wire-error.ts';

/** The exchange of RFC 7677, section 3, as far as it does not depend on the user's name. */
const SALT = Uint8Array.from(Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'));
const CLIENT_NONCE = 'rOprNGfwEbeRWgbNEkqO';
const SERVER_NONCE = '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';

describe('the exchange of RFC 7677', () => {
  const secret = deriveScramSecret('pencil', SALT, 4096);
  const first = scramServerFirst(secret, `n,,n=user,r=${CLIENT_NONCE}`, SERVER_NONCE);

  test('from the side of the server', () => {
    expect(first.message).toBe(`r=${CLIENT_NONCE}${SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`);
    const proof = 'dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=';
    expect(scramServerFinal(first, `c=biws,r=${CLIENT_NONCE}${SERVER_NONCE},p=${proof}`)).toBe(
      'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
    );
  });

  test('a wrong proof is a wrong password', () => {
    const proof = 'eHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=';
    expect(() => scramServerFinal(first, `c=biws,r=${CLIENT_NONCE}${SERVER_NONCE},p=${proof}`)).toThrow(
      expect.objectContaining({ code: 'WRONG_PASSWORD', sqlState: '28P01' }),
    );
  });

  test('a secret is stored as PostgreSQL stores it', () => {
    const text = formatScramSecret(secret);
    expect(text).toMatch(/^SCRAM-SHA-256\$4096:W22ZaJ0SNY7soEsUEjb6gQ==\$[^:]{44}:[^:]{44}$/);
    const parsed = parseScramSecret(text);
    expect(parsed.iterations).toBe(4096);
    expect(formatScramSecret(parsed)).toBe(text);
    expect(() => parseScramSecret('md5abc')).toThrow(ProtocolError);
    expect(() => parseScramSecret(text.replace('=$', '$'))).toThrow(ProtocolError);
  });
});

const printable = fc.stringMatching(/^[!-+\--~]{4,20}$/);
const password = fc.stringMatching(/^[ -~]{1,20}$/);

test('client and server agree if and only if both know the password', () => {
  fc.assert(
    fc.property(
      ...[password, password, printable, printable, fc.uint8Array({ minLength: 1, maxLength: 20 })],
      (right, other, clientNonce, serverNonce, salt) => {
        const first = scramServerFirst(
          deriveScramSecret(right, salt, 2),
          scramClientFirst(clientNonce),
          serverNonce,
        );
        const final = scramClientFinal(right, clientNonce, first.message);
        expect(() => checkScramServerFinal(final, scramServerFinal(first, final.message))).not.toThrow();
        if (other === right) return;
        const wrong = scramClientFinal(other, clientNonce, first.message);
        expect(() => scramServerFinal(first, wrong.message)).toThrow(/password authentication failed/);
        expect(() => checkScramServerFinal(wrong, scramServerFinal(first, final.message))).toThrow(
          /does not prove/,
        );
      },
    ),
  );
});

describe('refused by name', () => {
  test.each([
    ['r=abc,s=W22Z,i=4096', /another nonce/],
    ['r=abX1,s=W22Z,i=4096', /another nonce/],
    ['r=abc1,s=W22Z,i=0', /"0" is no count/],
    ['r=abc1,s=W22Z,i=200001', /"200001" is no count/],
    ['r=abc1,s=W2,i=4096', /the salt is not base64/],
    ['r=abc1,s=W22Z,i=4096,x=1', /the first one of the server/],
    ['m=1,r=abc1,s=W22Z,i=4096', /the first one of the server/],
    ['e=other-error', /the first one of the server/],
  ])('by the client: %s', (serverFirst, reason) => {
    expect(() => scramClientFinal('p', 'abc', serverFirst)).toThrow(reason);
  });

  const first = scramServerFirst(deriveScramSecret('p', SALT, 1), 'y,,n=,r=abc', 'def');
  const proof = Buffer.alloc(32).toString('base64');
  test.each([
    [`c=biws,r=abcdef,p=${proof}`, /its header is not/],
    [`c=eSws,r=abcdeg,p=${proof}`, /another nonce/],
    ['c=eSws,r=abcdef,p=AAAA', /not 32 bytes/],
    ['c=eSws,r=abcdef', /the last one of the client/],
    [`c=eSws,r=abcdef,p=${proof}`, /password authentication failed/],
  ])('by the server: %s', (clientFinal, reason) => {
    expect(() => scramServerFinal(first, clientFinal)).toThrow(reason);
  });

  test.each(['p=tls-server-end-point,,n=,r=abc', 'n,a=x,n=,r=abc', 'n,,n=,r=', 'n,,n=,r=a,b', ''])(
    'by the server: %s',
    (clientFirst) => {
      expect(() => scramServerFirst(first.secret, clientFirst, 'def')).toThrow(ProtocolError);
    },
  );

  test('what would make a wrong proof', () => {
    expect(() => deriveScramSecret('pä', SALT, 1)).toThrow(/only passwords of printable ASCII/);
    expect(() => scramClientFirst('a,b')).toThrow(/printable ASCII/);
  });
});

test('any text gives an answer or a typed error', () => {
  const secret = deriveScramSecret('p', SALT, 1);
  const first = scramServerFirst(secret, 'n,,n=,r=abc', 'def');
  const final = scramClientFinal('p', 'abc', first.message);
  const piece = fc.oneof(
    fc.constantFrom('r=', 'abcdef', ',', 's=', 'W22Z', 'i=1', 'v=', 'n,,', 'c=biws', 'p='),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
      const text = pieces.join('');
      const readers = [
        () => scramServerFirst(secret, text, 'def'),
        () => scramServerFinal(first, text),
        () => scramClientFinal('p', 'abc', text),
        () => checkScramServerFinal(final, text),
        () => parseScramSecret(text),
      ];
      for (const read of readers) {
        try {
          read();
        } catch (error) {
          expect(error).toBeInstanceOf(VarveError);
        }
      }
    }),
  );
});
