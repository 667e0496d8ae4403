import { type Finding, fail, ok, warn } from './finding.ts';

const MIB = 1024 * 1024;
const MEMORY_BYTES_MIN = 384 * MIB;
const MEMORY_BYTES_EASY = 1024 * MIB;
const OPEN_FILES_MIN = 1024;
const OPEN_FILES_EASY = 8192;

const mib = (bytes: number): string => `${Math.floor(bytes / MIB)} MiB`;

export interface MemoryFacts {
  /** What a process may still take, also within a container. */
  readonly availableBytes: number;
}

export function judgeMemory({ availableBytes }: MemoryFacts): Finding {
  const text = `${mib(availableBytes)} are free`;
  if (availableBytes < MEMORY_BYTES_MIN) {
    return fail(
      'memory',
      text,
      `make ${mib(MEMORY_BYTES_MIN)} free: storage, control plane and one server need them`,
    );
  }
  if (availableBytes >= MEMORY_BYTES_EASY) return ok('memory', text);
  return warn('memory', text, `${mib(MEMORY_BYTES_EASY)} leave room for several branches at once`);
}

/** @param limit undefined: there is none, or nobody says */
export function judgeOpenFiles(limit: number | undefined): Finding {
  const check = 'open files';
  if (limit === undefined) return ok(check, 'no limit');
  const text = `${limit} at once`;
  const fix = `raise the limit of this shell (‘ulimit -n ${OPEN_FILES_EASY}’), or of the service (LimitNOFILE=)`;
  if (limit < OPEN_FILES_MIN) return fail(check, text, fix);
  return limit < OPEN_FILES_EASY ? warn(check, text, fix) : ok(check, text);
}

export interface ClockFacts {
  readonly wallMs: number;
  /** By how much the machine's time went otherwise than a clock that only counts. */
  readonly jumpMs: number;
  /** By how much the file system's time is ahead; undefined: it was not asked. */
  readonly fileAheadMs: number | undefined;
}

/** Before that there was no Varve. */
const EPOCH_MS = Date.UTC(2026, 0, 1);
const JUMP_MS_MAX = 100;
const FILE_MS_MAX = 2000;

export function judgeClock({ wallMs, jumpMs, fileAheadMs }: ClockFacts): Finding {
  const check = 'clock';
  const sync = 'have the machine’s time kept by NTP (‘timedatectl set-ntp true’)';
  const now = new Date(wallMs).toISOString();
  if (wallMs < EPOCH_MS) {
    return fail(
      check,
      `it is ${now} by this machine’s clock: tokens, certificates and object stores go by it`,
      sync,
    );
  }
  if (Math.abs(jumpMs) > JUMP_MS_MAX) {
    return warn(check, `the time has jumped by ${Math.round(jumpMs)} ms while it was looked at`, sync);
  }
  if (fileAheadMs !== undefined && Math.abs(fileAheadMs) > FILE_MS_MAX) {
    const text = `the file system’s time is ${Math.round(fileAheadMs)} ms ahead of the machine’s`;
    return warn(check, text, `${sync}, also where the file system is`);
  }
  return ok(check, now);
}
