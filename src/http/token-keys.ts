import { importSPKI } from 'jose';
import { BadRequestError, VarveError } from '../base/errors.ts';
import type { Files } from '../io/files.ts';

/** A public key that verifies tokens. */
export type VerificationKey = Awaited<ReturnType<typeof importSPKI>>;

const PUBLIC_KEY = /-----BEGIN PUBLIC KEY-----[\s\S]*?-----END PUBLIC KEY-----/g;

/** A key takes some 120 bytes; this leaves room for many, and for comments. */
const KEY_FILE_BYTES_MAX = 1024 * 1024;

/**
 * Loads Ed25519 public keys from a PEM file, or from all files of a directory whose names do not begin with a dot
 * (such are what a mounted secret is made of). A file may hold several.
 * @throws BadRequestError BAD_TOKEN_KEY where a file holds none or another kind of key; VarveError NO_TOKEN_KEYS where
 *   a directory has no file; and what the files door throws.
 */
export async function loadVerificationKeys(files: Files, path: string): Promise<readonly VerificationKey[]> {
  if ((await files.stat(path)).kind !== 'directory') return loadKeyFile(files, path);
  const keys: VerificationKey[] = [];
  for (const name of await files.list(path)) {
    const filePath = `${path}/${name}`;
    if (name.startsWith('.') || (await files.stat(filePath)).kind !== 'file') continue;
    keys.push(...(await loadKeyFile(files, filePath)));
  }
  if (keys.length === 0) {
    throw new VarveError('precondition', 'NO_TOKEN_KEYS', 'the directory holds no public key for tokens', {
      file: path,
    });
  }
  return keys;
}

async function loadKeyFile(files: Files, path: string): Promise<VerificationKey[]> {
  await using file = await files.open(path);
  if (file.sizeBytes > KEY_FILE_BYTES_MAX) throw badKey(path, `it has ${file.sizeBytes} bytes`);
  const content = new Uint8Array(file.sizeBytes);
  const lengthBytes = await file.read(content, 0, content.length, 0);
  // Awaited within the file's life: a rejection must not happen while nobody waits for it.
  return await parseVerificationKeys(new TextDecoder().decode(content.subarray(0, lengthBytes)), path);
}

/**
 * Reads all public keys of a PEM text.
 * @param path named by the error
 */
export async function parseVerificationKeys(pem: string, path?: string): Promise<VerificationKey[]> {
  const blocks = pem.match(PUBLIC_KEY) ?? [];
  if (blocks.length === 0) throw badKey(path, 'it has no PUBLIC KEY in PEM form');
  return Promise.all(
    blocks.map((block) =>
      importSPKI(block, 'EdDSA').catch((error: unknown) => {
        throw badKey(path, 'a key in it is not Ed25519', error);
      }),
    ),
  );
}

function badKey(path: string | undefined, reason: string, cause?: unknown): BadRequestError {
  return new BadRequestError(
    'BAD_TOKEN_KEY',
    `this is no file of public keys for tokens: ${reason}`,
    path === undefined ? {} : { file: path },
    cause,
  );
}
