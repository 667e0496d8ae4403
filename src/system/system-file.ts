import { z } from 'zod';
import { CorruptionError, VarveError } from '../base/errors.ts';
import type { Files } from '../io/files.ts';
import { readWholeFile } from '../io/read-whole-file.ts';
import { replaceFile } from '../io/replace-file.ts';

const SYSTEM_FILE = 'system.json';
/** Those that this program knows. A system has the first that says all of it, so that an older program may run it. */
const VERSION = 1;
const VERSION_WITH_DATABASE = 2;

const port = z.int().min(1).max(65_535);

const systemSchema = z.object({
  version: z.literal([VERSION, VERSION_WITH_DATABASE]),
  /** Whether a start has come to its end: until then the first project may be missing. */
  isComplete: z.boolean(),
  postgresMajor: z.int(),
  /** Ports on 127.0.0.1 that the services take again at each start: safekeepers know each other by them. */
  safekeepers: z.array(z.object({ id: z.int().min(1), pgPort: port, httpPort: port })).min(1),
  pageserver: z.object({ pgPort: port, httpPort: port }),
  apiPort: port,
  /** Where objects are; null: in the system's own directory. */
  objectStore: z.string().nullable(),
  /** Whether the control plane's state is in a database that is given at each start, and not in one of the system's own. */
  hasGivenDatabase: z.boolean().default(false),
});

/** What a system is, from its first start on. */
export type SystemDescription = z.output<typeof systemSchema>;

/** undefined: there is no system in the directory yet. @throws CorruptionError BAD_SYSTEM_FILE; VarveError SYSTEM_TOO_NEW */
export async function readSystem(files: Files, directory: string): Promise<SystemDescription | undefined> {
  const file = `${directory}/${SYSTEM_FILE}`;
  let text: string;
  try {
    text = new TextDecoder().decode(await readWholeFile(files, file));
  } catch (error) {
    if (error instanceof VarveError && error.code === 'FILE_NOT_FOUND') return undefined;
    throw error;
  }
  const value = parse(text);
  const version =
    typeof value === 'object' && value !== null && 'version' in value ? value.version : undefined;
  if (typeof version === 'number' && version > VERSION_WITH_DATABASE) {
    const reason = `this system is of version ${version}, and this program knows ${VERSION_WITH_DATABASE}: update varve`;
    throw new VarveError('precondition', 'SYSTEM_TOO_NEW', reason, { file });
  }
  const result = systemSchema.safeParse(value);
  if (!result.success) {
    const paths = result.error.issues.map(({ path }) => path.join('.')).join(', ');
    throw new CorruptionError('BAD_SYSTEM_FILE', `this does not describe a system: ${paths || 'no JSON'}`, {
      file,
    });
  }
  return result.data;
}

export const systemVersion = (hasGivenDatabase: boolean): SystemDescription['version'] =>
  hasGivenDatabase ? VERSION_WITH_DATABASE : VERSION;

export async function writeSystem(files: Files, directory: string, system: SystemDescription): Promise<void> {
  const text = `${JSON.stringify(system, undefined, 2)}\n`;
  await replaceFile(files, directory, SYSTEM_FILE, new TextEncoder().encode(text));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
