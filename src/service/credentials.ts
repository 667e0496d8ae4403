import { loadVerificationKeys } from '../http/token-keys.ts';
import { TokenVerifier } from '../http/token-verifier.ts';
import type { Clock } from '../io/clock.ts';
import type { Files } from '../io/files.ts';
import type { ServerIdentity } from '../io/sockets.ts';

/** Files of keys, certificates and tokens are read whole. */
const TEXT_BYTES_MAX = 1024 * 1024;

/** PEM files: whoever has them speaks TLS only. */
export interface TlsPaths {
  readonly certificatePath: string;
  readonly privateKeyPath: string;
}

/**
 * Who checks the tokens of a door; undefined where the door asks for none.
 * @param path PEM file, or directory of such, with public keys
 */
export async function loadVerifier(
  path: string | undefined,
  { files, clock }: { readonly files: Files; readonly clock: Clock },
): Promise<TokenVerifier | undefined> {
  return path === undefined ? undefined : new TokenVerifier(await loadVerificationKeys(files, path), clock);
}

export async function loadIdentity(
  tls: TlsPaths | undefined,
  files: Files,
): Promise<ServerIdentity | undefined> {
  if (tls === undefined) return undefined;
  return {
    certificate: await readText(files, tls.certificatePath),
    privateKey: await readText(files, tls.privateKeyPath),
  };
}

/** What a service shows others, and whom it believes. */
export interface OutgoingPaths {
  /** File with the service's own token. */
  readonly tokenPath: string | undefined;
  /** PEM file of the authorities that the others' certificates are from. Without it those that the run time knows. */
  readonly authoritiesPath: string | undefined;
  /** Whether the service itself speaks TLS: then those that it connects to do. */
  readonly hasTls: boolean;
}

export interface OutgoingCredentials {
  readonly token?: () => Promise<string>;
  readonly tls?: { readonly authorities?: string };
}

export async function loadOutgoing(paths: OutgoingPaths, files: Files): Promise<OutgoingCredentials> {
  const { tokenPath, authoritiesPath } = paths;
  const trust = authoritiesPath === undefined ? {} : { authorities: await readText(files, authoritiesPath) };
  return {
    // Read anew each time: tokens are replaced before they expire.
    ...(tokenPath === undefined ? {} : { token: async () => (await readText(files, tokenPath)).trim() }),
    ...(paths.hasTls || authoritiesPath !== undefined ? { tls: trust } : {}),
  };
}

/** A file's content as text: of a file that is not longer than a megabyte. */
export async function readText(files: Files, path: string): Promise<string> {
  await using file = await files.open(path);
  const content = new Uint8Array(Math.min(file.sizeBytes, TEXT_BYTES_MAX));
  const length = await file.read(content, 0, content.length, 0);
  return new TextDecoder().decode(content.subarray(0, length));
}
