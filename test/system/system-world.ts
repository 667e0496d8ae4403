import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { VarveFamily, type VarveProcess } from '../support/varve-process.ts';

const BIN = fileURLToPath(new URL('../../bin/varve', import.meta.url));

/** What `varve start --json` prints when all of it runs. */
export interface Ready {
  readonly event: 'ready';
  readonly url: string;
  readonly api: string;
  readonly steps: Readonly<Record<string, number>>;
  readonly totalMs: number;
}

/** A system of its own directory, as a user starts it, again and again. */
export class SystemWorld implements AsyncDisposable {
  /** Given to `--dir`. */
  readonly directory: string;
  readonly #top: string;
  readonly #family: VarveFamily;

  private constructor(top: string) {
    this.#top = top;
    this.directory = join(top, 'varve');
    this.#family = new VarveFamily(top);
  }

  /** @param mode of the directory above: 0o711 lets other accounts through */
  static async make(mode = 0o711): Promise<SystemWorld> {
    const top = await mkdtemp(join(tmpdir(), 'varve-system-'));
    await chmod(top, mode);
    return new SystemWorld(top);
  }

  /** Runs a command on it, such as `start` or `branch create`. */
  run(command: string, ...args: string[]): VarveProcess {
    return this.#family.start([...command.split(' '), '--dir', this.directory, ...args]);
  }

  /** Runs a command on it, with more in its environment. */
  runWith(environment: NodeJS.ProcessEnv, command: string, ...args: string[]): VarveProcess {
    return this.#family.start([command, '--dir', this.directory, ...args], { environment });
  }

  /** Runs a command on it to its end, as a person does: without `--json`. */
  async text(command: string, ...args: string[]): Promise<{ out: string; error: string }> {
    const parameters = [BIN, command, '--dir', this.directory, ...args];
    return await promisify(execFile)(process.execPath, parameters).then(({ stdout, stderr }) => ({
      out: stdout,
      error: stderr,
    }));
  }

  /** Starts it at free ports, and waits until it is ready. */
  async start(...args: string[]): Promise<{ process: VarveProcess; ready: Ready }> {
    const process = this.run('start', '--port', '0', ...args);
    return { process, ready: await process.line<Ready>() };
  }

  /** Waits until none of its processes is left; servers see that their owner is gone within moments. */
  async untilNothingIsLeft(): Promise<void> {
    const untilMs = performance.now() + 10_000;
    for (;;) {
      const left = this.processes();
      if (left.length === 0) return;
      if (performance.now() > untilMs) throw new Error(`still there: ${left.join(', ')}`);
      await delay(10);
    }
  }

  /** Those that work within the directory, or were started with its name. */
  processes(): string[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .flatMap((pid) => {
        try {
          const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim();
          const isOurs =
            command.includes(this.directory) || readlinkSync(`/proc/${pid}/cwd`).startsWith(this.directory);
          return isOurs && command !== '' && !command.startsWith('/bin/sh -c') ? [`${pid} ${command}`] : [];
        } catch {
          // It has ended, or is somebody else's.
          return [];
        }
      });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#family[Symbol.asyncDispose]();
    await this.untilNothingIsLeft();
    await rm(this.#top, { recursive: true, force: true });
  }
}

export async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url);
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}
