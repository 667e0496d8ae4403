import { BadRequestError, VarveError } from '../base/errors.ts';
import type { Files } from '../io/files.ts';
import { readWholeFile } from '../io/read-whole-file.ts';
import type { ServerIdentity } from '../io/sockets.ts';
import type { TlsSpec } from './compute-spec.ts';

const PEM = '-----BEGIN ';
/** A file of a certificate or a key is not larger. */
const FILE_BYTES_MAX = 1024 * 1024;

/** @throws VarveError ‘bad-request’ / BAD_SPEC, which names the field; the disk's, which names the file */
export async function readTlsIdentity({ certificate, key }: TlsSpec, files: Files): Promise<ServerIdentity> {
  return {
    certificate: await readPem('tls.certificate', certificate, files),
    privateKey: await readPem('tls.key', key, files),
  };
}

export const isPem = (text: string): boolean => text.trimStart().startsWith(PEM);

async function readPem(field: string, given: string, files: Files): Promise<string> {
  if (isPem(given)) return given;
  const text = await readFile(field, given, files);
  if (text.includes(PEM)) return text;
  throw new BadRequestError('BAD_SPEC', `${field} of the spec is neither PEM nor a file with it`, {
    file: given,
  });
}

async function readFile(field: string, path: string, files: Files): Promise<string> {
  try {
    if ((await files.stat(path)).sizeBytes > FILE_BYTES_MAX) return '';
    return new TextDecoder().decode(await readWholeFile(files, path));
  } catch (error) {
    if (!(error instanceof VarveError) || error.kind === 'unavailable') throw error;
    throw new BadRequestError('BAD_SPEC', `${field} of the spec: ${error.reason}`, { file: path }, error);
  }
}
