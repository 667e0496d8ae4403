/** What a server's lock file says (miscadmin.h, LOCK_FILE_LINE_*). */
export interface PostmasterFile {
  readonly pid: number;
  /** The shared memory segment by which a second server would notice the first one. */
  readonly sharedMemoryId: number | undefined;
  /** `starting`, `stopping`, `ready`, `standby`: a server in recovery that lets nobody in. */
  readonly status: string | undefined;
}

const LINE_SHARED_MEMORY = 6;
const LINE_STATUS = 7;

/** undefined where it is not there, or not written yet. */
export function parsePostmasterFile(text: string): PostmasterFile | undefined {
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  const [, id] = /^\s*\d+\s+(\d+)/.exec(lines[LINE_SHARED_MEMORY] ?? '') ?? [];
  const status = lines[LINE_STATUS]?.trim();
  return {
    pid,
    sharedMemoryId: id === undefined ? undefined : Number(id),
    status: status === '' ? undefined : status,
  };
}
