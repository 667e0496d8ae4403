import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

const FILLER = 'filler';
const FILLER_PIECE = new Uint8Array(256 * 1024);
/** Mounts, says so, and holds its namespace until standard input ends, which it does with us. */
const HOLD_SCRIPT = 'mount -t tmpfs -o "size=$2,mode=0700" tmpfs "$1" && echo mounted && exec cat >/dev/null';

/**
 * A disk of a few megabytes: a tmpfs that only a mount namespace of its own sees, and that goes with that, whatever
 * happens to us. Root can make one, and elsewhere whoever may make user namespaces.
 */
export class SmallDisk implements AsyncDisposable {
  /** Where it is mounted, for whoever is in its namespace. */
  readonly directory: string;
  /** The command by which a process gets into its namespace. */
  readonly wrapper: readonly string[];
  readonly #holder: ChildProcess;

  private constructor(directory: string, holder: ChildProcess, isRoot: boolean) {
    this.directory = directory;
    this.#holder = holder;
    const user = isRoot ? [] : ['--user', '--preserve-credentials'];
    this.wrapper = ['nsenter', '--target', String(holder.pid), '--mount', ...user, '--'];
  }

  /**
   * Makes `directory` and mounts the disk there.
   * @returns why there can be none here, if that is so
   */
  static async mount(
    directory: string,
    sizeBytes: number,
    environment: NodeJS.ProcessEnv,
  ): Promise<SmallDisk | string> {
    await mkdir(directory, { recursive: true });
    const isRoot = process.getuid?.() === 0;
    const command = [
      ...['unshare', '--mount', ...(isRoot ? [] : ['--user', '--map-root-user'])],
      ...['sh', '-c', HOLD_SCRIPT, 'sh', directory, String(sizeBytes)],
    ];
    const holder = spawn(command[0] as string, command.slice(1), {
      env: environment,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    holder.stdin.on('error', () => undefined);
    let complaint = '';
    holder.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint += text;
    });
    const failed = new Promise<string>((resolve) => {
      holder.once('error', ({ message }) => resolve(message));
      holder.once('close', (code) => resolve(complaint.trim() || `unshare ended with ${code}`));
    });
    const mounted = once(holder.stdout, 'data').then(() => undefined);
    const reason = await Promise.race([failed, mounted]);
    return reason ?? new SmallDisk(directory, holder, isRoot);
  }

  /** Writes until nothing more goes onto it. */
  async fill(): Promise<void> {
    for (let pieceBytes = FILLER_PIECE.length; pieceBytes >= 512; ) {
      try {
        await appendFile(this.#filler, FILLER_PIECE.subarray(0, pieceBytes));
      } catch (error) {
        if ((error as { code?: string }).code !== 'ENOSPC') throw error;
        pieceBytes /= 2;
      }
    }
  }

  /** Gives the room back. */
  async empty(): Promise<void> {
    await rm(this.#filler, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#holder, 'close');
    this.#holder.stdin?.end();
    await closed;
  }

  /** As it is seen from outside of the namespace. */
  get #filler(): string {
    return join(`/proc/${this.#holder.pid}/root`, this.directory, FILLER);
  }
}
