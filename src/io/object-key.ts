import { BadRequestError } from '../base/errors.ts';

/** What a key may have at most, with the prefix of the store: S3's own limit. */
export const OBJECT_KEY_BYTES_MAX = 1024;
/** What one name of a key may have at most: NAME_MAX of Linux and of the other systems we run on. */
export const OBJECT_NAME_BYTES_MAX = 255;
/** No key begins with this name: where a local directory is the store, what is being written lies there. */
export const TEMPORARY_NAME = '.temporary';

const encoder = new TextEncoder();

/** Bytes of a string in UTF-8. */
export const utf8Length = (text: string): number => encoder.encode(text).length;

const bad = (key: string, reason: string): BadRequestError =>
  new BadRequestError('BAD_OBJECT_KEY', `${reason}: ${JSON.stringify(key.slice(0, OBJECT_KEY_BYTES_MAX))}`);

/** Code points that XML 1.0 cannot say, so that a list of S3 could not name them, and half surrogate pairs. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNSPEAKABLE = /[\u0000-\u001f\u007f\ufffe\uffff]/;

/**
 * Checks that a key can be one in every store, so that what works in one works in all.
 * @throws BadRequestError BAD_OBJECT_KEY
 */
export function checkObjectKey(key: string): void {
  checkText(key);
  const names = key.split('/');
  for (const name of names) checkName(key, name);
  checkFirstName(key, names);
}

/**
 * Checks the beginning of keys, which may end within a name.
 * @throws BadRequestError BAD_OBJECT_KEY
 */
export function checkObjectKeyPrefix(prefix: string): void {
  checkText(prefix);
  const names = prefix.split('/').slice(0, -1);
  for (const name of names) checkName(prefix, name);
  checkFirstName(prefix, names);
}

export function isObjectKey(key: string): boolean {
  try {
    checkObjectKey(key);
    return true;
  } catch (error) {
    if (error instanceof BadRequestError) return false;
    throw error;
  }
}

function checkText(key: string): void {
  if (!key.isWellFormed() || UNSPEAKABLE.test(key)) throw bad(key, 'a character that no key may have');
  if (utf8Length(key) > OBJECT_KEY_BYTES_MAX) throw bad(key, 'the key is too long');
}

function checkName(key: string, name: string): void {
  if (name === '' || name === '.' || name === '..') throw bad(key, 'a name that no key may have');
  if (utf8Length(name) > OBJECT_NAME_BYTES_MAX) throw bad(key, 'a name of the key is too long');
}

function checkFirstName(key: string, names: readonly string[]): void {
  if (names[0] === TEMPORARY_NAME) throw bad(key, 'a first name that no key may have');
}

/** The order of two keys' UTF-8 bytes, which is that of their code points: negative where `left` comes first. */
export function compareObjectKeys(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let i = 0; i < length; i++) {
    const leftUnit = left.charCodeAt(i);
    const rightUnit = right.charCodeAt(i);
    if (leftUnit !== rightUnit) return rank(leftUnit) - rank(rightUnit);
  }
  return left.length - right.length;
}

/** Surrogates stand for code points above all others, yet their units lie below some of them. */
function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
