import { type ChildProcess, spawn } from 'node:child_process';

/**
 * What the guard does: wait for a line on standard input. `done` means that its owner has cleaned up; end of file
 * means that its owner has died. Then the postmaster is told to quit at once, is killed if it has not done so after
 * ten seconds, and the server's directory is removed. The pid counts only while the directory's postmaster.pid
 * names it, so that a number used again by another process is never signalled.
 */
const GUARD_SCRIPT = `
pid=$1 data=$2 doomed=$3
read -r line
[ "$line" = done ] && exit 0
named() { [ "$(head -n 1 "$data/postmaster.pid" 2>/dev/null)" = "$pid" ] && kill -0 "$pid" 2>/dev/null; }
if [ -n "$pid" ] && named; then
  kill -QUIT "$pid"
  tries=0
  while named && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
  named && kill -KILL "$pid"
fi
[ -n "$doomed" ] && rm -rf -- "$doomed"
exit 0
`;

/** Ends a server, and removes its directory, when the process that started it dies without doing so. */
export class ProcessGuard {
  readonly #child: ChildProcess;

  /**
   * @param doomedDirectory a directory to remove, or the empty string
   * @param postmasterPid the postmaster to end before that, if any
   * @param dataDirectory its data directory
   */
  constructor(doomedDirectory: string, postmasterPid?: number, dataDirectory = '') {
    // Detached: a terminal's interrupt reaches the whole foreground process group, and must not reach the guard.
    this.#child = spawn(
      '/bin/sh',
      ['-c', GUARD_SCRIPT, 'sh', String(postmasterPid ?? ''), dataDirectory, doomedDirectory],
      { detached: true, stdio: ['pipe', 'ignore', 'ignore'], cwd: '/' },
    );
    this.#child.unref();
    // Broken only if someone killed the guard, which takes nothing from the server.
    this.#child.stdin?.on('error', () => undefined);
    const stdin = this.#child.stdin as unknown as { unref?: () => void } | null;
    stdin?.unref?.();
  }

  /** Lets the guard go: the server has ended, or has a new guard. */
  release(): void {
    this.#child.stdin?.end('done\n');
  }
}
