import { spawn } from 'node:child_process';
import type { ProgramIdentity } from '../servers.ts';

/**
 * Waits for a line, which says that the program has ended; the end of the file says that its owner has, and that nobody
 * looks after the program any more. The program ends last: a backend that sees its postmaster dead stops waiting for a
 * standby (SyncRepWaitForLSN, syncrep.c), and an apply worker then tells its publisher that it may forget what is lost here.
 */
const GUARD_SCRIPT = `
read -r line
[ "$line" = ended ] && exit 0
[ -n "$2" ] && [ "$(cut -d ' ' -f 22 "/proc/$1/stat" 2>/dev/null)" != "$2" ] && exit 0
kill -STOP "$1" 2>/dev/null || exit 0
for stat in /proc/[0-9]*/stat; do
  { read -r line <"$stat"; } 2>/dev/null || continue
  rest=\${line##*) }
  rest=\${rest#* }
  pid=\${stat#/proc/}
  [ "\${rest%% *}" = "$1" ] && kill -KILL "\${pid%/stat}" 2>/dev/null
done
kill -KILL "$1"
`;

/** Ends a process, and what it has started itself, when this one dies without doing so. Gives what says that it has ended. */
export function guardProcess({ pid, startTime }: ProgramIdentity): () => void {
  const child = spawn('/bin/sh', ['-c', GUARD_SCRIPT, 'sh', String(pid), startTime], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
  });
  child.unref();
  // Broken only where somebody has killed the guard, which takes nothing from the program.
  child.stdin?.on('error', () => undefined);
  (child.stdin as unknown as { unref?: () => void } | null)?.unref?.();
  return () => void child.stdin?.end('ended\n');
}
