import { z } from 'zod';
import { VarveError } from '../base/errors.ts';
import type { Files } from '../io/files.ts';
import { readWholeFile } from '../io/read-whole-file.ts';
import { replaceFile } from '../io/replace-file.ts';

const RUNNING_FILE = 'running.json';

const runningSchema = z.object({
  pid: z.int().min(1),
  /** As the operating system counts: another process may have the number later. */
  startTime: z.string(),
  /** When it could be used; null: it starts still. */
  ready: z
    .object({
      url: z.string().nullable(),
      api: z.string(),
      steps: z.array(z.object({ step: z.string(), ms: z.number() })),
      totalMs: z.number(),
      /** Why the first project's compute does not run. */
      failure: z.object({ code: z.string(), message: z.string() }).optional(),
    })
    .nullable(),
});

/** What runs in a directory, for whoever comes to look. Worth nothing when the process that it names is gone. */
export type RunningSystem = z.output<typeof runningSchema>;

/** undefined: nothing was started there, or it has ended in order, or the file is damaged. */
export async function readRunning(files: Files, directory: string): Promise<RunningSystem | undefined> {
  try {
    const text = new TextDecoder().decode(await readWholeFile(files, `${directory}/${RUNNING_FILE}`));
    return runningSchema.safeParse(JSON.parse(text)).data;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    if (error instanceof VarveError && error.kind === 'not-found') return undefined;
    throw error;
  }
}

export async function writeRunning(files: Files, directory: string, running: RunningSystem): Promise<void> {
  await replaceFile(files, directory, RUNNING_FILE, new TextEncoder().encode(`${JSON.stringify(running)}\n`));
}

export async function removeRunning(files: Files, directory: string): Promise<void> {
  try {
    await files.remove(`${directory}/${RUNNING_FILE}`);
  } catch (error) {
    if (!(error instanceof VarveError) || error.code !== 'FILE_NOT_FOUND') throw error;
  }
}
