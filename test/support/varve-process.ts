import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../../bin/varve', import.meta.url));
/** Names the processes of one family in their environment. */
const FAMILY_VARIABLE = 'VARVE_TEST_FAMILY';
/** Of standard error, from its end. */
const ERROR_CHARACTERS_MAX = 256 * 1024;

/**
 * Waits for a line on standard input. `done` means that the owner has cleaned up; end of file means that the owner
 * has died, however: then all processes with the family's mark are killed, and its directory is removed.
 */
const GUARD_SCRIPT = `
mark=$1 doomed=$2
read -r line
[ "$line" = done ] && exit 0
for process in /proc/[0-9]*; do
  # Shells guard what a process of the family has started, and end it when that has ended.
  grep -qsx sh "$process/comm" && continue
  grep -qsxzF "$mark" "$process/environ" && kill -KILL "\${process#/proc/}" 2>/dev/null
done
[ -n "$doomed" ] && rm -rf -- "$doomed"
exit 0
`;

/** How a process ended: its exit status, or the signal that has ended it. */
export type ProcessEnd = number | NodeJS.Signals;

export interface VarveProcessOptions {
  /** A command to run it by, such as nsenter with its arguments. */
  readonly wrapper?: readonly string[];
  /** What it has in its environment beside that of this process. */
  readonly environment?: NodeJS.ProcessEnv;
}

/** Processes of `varve` that end at the latest when the process that started them does. */
export class VarveFamily implements AsyncDisposable {
  readonly #mark: string = randomBytes(16).toString('hex');
  readonly #guard: ChildProcess;
  readonly #running = new Set<VarveProcess>();
  #isOver = false;

  /** @param doomedDirectory removed if this process dies; the empty string where there is none */
  constructor(doomedDirectory = '') {
    // Not in our process group: what a terminal sends to that must not reach the guard.
    this.#guard = spawn(
      '/bin/sh',
      ['-c', GUARD_SCRIPT, 'sh', `${FAMILY_VARIABLE}=${this.#mark}`, doomedDirectory],
      { detached: true, stdio: ['pipe', 'ignore', 'ignore'], cwd: '/' },
    );
    this.#guard.unref();
    this.#guard.stdin?.on('error', () => undefined);
    const stdin = this.#guard.stdin as unknown as { unref?: () => void } | null;
    stdin?.unref?.();
  }

  /** What a process of this family has in its environment. */
  get environment(): NodeJS.ProcessEnv {
    return { ...process.env, [FAMILY_VARIABLE]: this.#mark };
  }

  /** Starts `varve` with these arguments, and `--json`. */
  start(args: readonly string[], options: VarveProcessOptions = {}): VarveProcess {
    if (this.#isOver) throw new Error('this family has ended');
    const command = [...(options.wrapper ?? []), process.execPath, BIN, ...args, '--json'];
    const started = new VarveProcess(
      spawn(command[0] as string, command.slice(1), {
        env: { ...this.environment, ...options.environment },
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    );
    this.#running.add(started);
    void started.ended.then(() => this.#running.delete(started));
    return started;
  }

  /** Kills what still runs. Nothing more can be started. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await Promise.all([...this.#running].map((each) => each.kill('SIGKILL')));
    this.#guard.stdin?.end('done\n');
  }
}

/** One process, with the JSON lines that it prints. */
export class VarveProcess {
  readonly ended: Promise<ProcessEnd>;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  #errorText = '';
  #isEnded = false;

  constructor(child: ChildProcess) {
    this.#child = child;
    const { stdout, stderr } = child;
    if (stdout === null || stderr === null) throw new Error('started without pipes');
    stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errorText = (this.#errorText + text).slice(-ERROR_CHARACTERS_MAX);
    });
    this.#reader = createInterface({ input: stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
    this.ended = (once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>).then(
      ([code, signalName]) => {
        this.#isEnded = true;
        return code ?? signalName ?? 'SIGKILL';
      },
    );
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('it was not started');
    return this.#child.pid;
  }

  /** The end of what it has written to standard error. */
  get errorText(): string {
    return this.#errorText;
  }

  /** The whole JSON lines of `errorText`. */
  get log(): Record<string, unknown>[] {
    const lines = this.#errorText.slice(0, this.#errorText.lastIndexOf('\n') + 1).split('\n');
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  }

  /** The next line that it prints. Throws if it ends instead. */
  async line<Value>(): Promise<Value> {
    const { value, done } = await this.#lines.next();
    if (done !== true) return JSON.parse(value) as Value;
    throw new Error(`the process ended (${await this.ended}): ${this.#errorText.slice(-4000)}`);
  }

  /** False if it has ended. */
  signal(name: NodeJS.Signals): boolean {
    return this.#child.kill(name);
  }

  /** Sends a signal, lets it run if it was stopped, and waits until it has ended. */
  async kill(name: NodeJS.Signals): Promise<ProcessEnd> {
    this.signal(name);
    if (name !== 'SIGKILL') this.signal('SIGCONT');
    return this.ended;
  }
}
