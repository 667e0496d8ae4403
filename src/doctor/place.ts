import { type Finding, fail, ok, warn } from './finding.ts';

const MIB = 1024 * 1024;
const SPACE_BYTES_MIN = 512 * MIB;
const SPACE_BYTES_EASY = 4096 * MIB;
const NAMES_MIN = 10_000;
const SYNC_MS_MAX = 20;

const mib = (bytes: number): string => `${Math.floor(bytes / MIB)} MiB`;

export interface DirectoryFacts {
  /** The system's, which need not be there yet. */
  readonly directory: string;
  /** The part of it that is there. */
  readonly existing: string;
  readonly isDirectory: boolean;
  readonly isWritable: boolean;
  /** Of a directory that is there itself: whether it is this account's. */
  readonly isOurs: boolean;
  /** Whether computes may have their files in it: servers get there, and its name leaves room for a socket. */
  readonly isFitForServers: boolean;
  /** Directories for temporary files that servers can get to. */
  readonly temporary: readonly string[];
}

export function judgeDirectory(facts: DirectoryFacts): Finding {
  const check = 'directory';
  const { directory, existing, isDirectory, isWritable, isOurs, isFitForServers, temporary } = facts;
  const other = 'choose another directory with --dir';
  if (!isDirectory) return fail(check, `${existing} is no directory`, other);
  if (!isOurs) {
    return fail(check, `${directory} belongs to another account`, `${other}, or run varve as that account`);
  }
  if (!isWritable) {
    return fail(
      check,
      `nothing can be made in ${existing}`,
      `${other}, or give this account the right to write there`,
    );
  }
  if (isFitForServers) return ok(check, directory);
  if (temporary.length > 0) {
    return ok(
      check,
      `${directory}; PostgreSQL’s account cannot use it: computes have their files in ${temporary[0]}`,
    );
  }
  return fail(
    check,
    `PostgreSQL’s account can get neither to ${directory} nor to any directory for temporary files`,
    'open the directories above to it (‘chmod o+x’), choose a shorter --dir, or set TMPDIR to one that it can enter',
  );
}

export interface SpaceFacts {
  readonly availableBytes: number;
  /** Of files that can be made still; undefined: the file system has no such limit. */
  readonly names: number | undefined;
}

export function judgeSpace({ availableBytes, names }: SpaceFacts): Finding {
  const check = 'disk';
  const text = `${mib(availableBytes)} are free`;
  if (names !== undefined && names < NAMES_MIN) {
    const fix = 'remove files that nobody needs, or choose a --dir on another file system';
    return fail(check, `the file system has room for ${names} more files (inodes)`, fix);
  }
  const fix = `make room, or choose a --dir on another file system: a system begins with some 60 MiB, and each branch takes what is written to it`;
  if (availableBytes < SPACE_BYTES_MIN) return fail(check, text, fix);
  return availableBytes < SPACE_BYTES_EASY ? warn(check, text, fix) : ok(check, text);
}

export interface FileSystemFacts {
  /** `f_type` of statfs(2). */
  readonly type: number;
  /** Why a file that was written could not be synced, renamed, or found anew; undefined: it could. */
  readonly fault: string | undefined;
  /** A file with nothing in it but its size takes no room. */
  readonly isSparse: boolean;
  /** What is in a file can be given back; undefined: it could not be tried. */
  readonly punchesHoles: boolean | undefined;
  /** The middle one of some, each of a few KiB. */
  readonly syncMs: number;
}

/** linux/magic.h */
const MEMORY_TYPES = [0x01021994, 0x858458f6];
const NETWORK_TYPES: Readonly<Record<number, string>> = {
  [0x6969]: 'NFS',
  [0x517b]: 'SMB',
  [0xff534d42]: 'SMB',
  [0xfe534d42]: 'SMB',
  [0x01021997]: '9p',
  [0x65735546]: 'FUSE',
};

export function judgeFileSystem(facts: FileSystemFacts): Finding {
  const check = 'file system';
  const local = 'choose a --dir on a local disk with ext4, XFS or Btrfs';
  const { type, fault, isSparse, punchesHoles, syncMs } = facts;
  if (fault !== undefined) return fail(check, `it does not keep what is synced to it: ${fault}`, local);
  const network = NETWORK_TYPES[type];
  const faults = [
    ...(MEMORY_TYPES.includes(type) ? ['it is in memory: all is gone when the machine ends'] : []),
    ...(network === undefined ? [] : [`it is ${network}: what is synced is as safe as its server`]),
    ...(isSparse ? [] : ['files take room for what is not in them']),
    ...(punchesHoles === false
      ? ['it cannot give back parts of files: computes keep all pages that they have read']
      : []),
    ...(syncMs > SYNC_MS_MAX ? [`a sync takes ${syncMs.toFixed(0)} ms, and so does each commit`] : []),
  ];
  if (faults.length > 0) return warn(check, faults.join('; '), local);
  return ok(
    check,
    `keeps what is synced (${syncMs.toFixed(1)} ms), sparse files${punchesHoles === true ? ', holes' : ''}`,
  );
}
