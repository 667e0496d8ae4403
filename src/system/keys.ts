import { exportPKCS8, exportSPKI, generateKeyPair } from 'jose';
import { VarveError } from '../base/errors.ts';
import type { TokenClaims } from '../contracts/token.ts';
import { TokenSigner } from '../http/token-signer.ts';
import type { Files } from '../io/files.ts';
import { readWholeFile } from '../io/read-whole-file.ts';
import { replaceFile } from '../io/replace-file.ts';
import { API_TOKEN } from './api-token.ts';

const PRIVATE_KEY = 'private.pem';
const PUBLIC_KEY = 'public.pem';
const STORAGE_TOKEN = 'storage-token';
const UPCALL_TOKEN = 'upcall-token';

/** Who may ask what of whom: made at the first start, in a directory that nobody else can enter. */
export interface SystemKeys {
  /** For those who check tokens. */
  readonly publicKeyPath: string;
  /** What safekeepers and the pageserver show each other. */
  readonly storageTokenPath: string;
  /** What the pageserver shows the control plane. */
  readonly upcallTokenPath: string;
  /** What the API asks for. */
  readonly apiToken: string;
  issue(claims: TokenClaims): Promise<string>;
}

const SAFEKEEPER_DATA: TokenClaims = { scope: 'safekeeperdata' };
const GENERATIONS: TokenClaims = { scope: 'generations_api' };
const ADMINISTRATOR: TokenClaims = { scope: 'admin' };

/** @param directory is there already */
export async function openKeys(files: Files, directory: string): Promise<SystemKeys> {
  const write = (name: string, text: string): Promise<void> =>
    replaceFile(files, directory, name, new TextEncoder().encode(text));
  let privateKey = await readIfThere(files, `${directory}/${PRIVATE_KEY}`);
  if (privateKey === undefined) {
    const pair = await generateKeyPair('EdDSA', { extractable: true });
    privateKey = await exportPKCS8(pair.privateKey);
    const signer = await TokenSigner.fromPem(privateKey);
    await write(PUBLIC_KEY, await exportSPKI(pair.publicKey));
    await write(STORAGE_TOKEN, await signer.sign(SAFEKEEPER_DATA));
    await write(UPCALL_TOKEN, await signer.sign(GENERATIONS));
    await write(API_TOKEN, `${await signer.sign(ADMINISTRATOR)}\n`);
    // Last: where it is the others are.
    await write(PRIVATE_KEY, privateKey);
  }
  const signer = await TokenSigner.fromPem(privateKey);
  return {
    issue: (claims) => signer.sign(claims),
    publicKeyPath: `${directory}/${PUBLIC_KEY}`,
    storageTokenPath: `${directory}/${STORAGE_TOKEN}`,
    upcallTokenPath: `${directory}/${UPCALL_TOKEN}`,
    apiToken: ((await readIfThere(files, `${directory}/${API_TOKEN}`)) ?? '').trim(),
  };
}

async function readIfThere(files: Files, path: string): Promise<string | undefined> {
  try {
    return new TextDecoder().decode(await readWholeFile(files, path));
  } catch (error) {
    if (error instanceof VarveError && error.code === 'FILE_NOT_FOUND') return undefined;
    throw error;
  }
}
