import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** As proc(5) writes a socket's state: it listens. */
const LISTENING = '0A';
/** Of a line of /proc/net/tcp. */
const FIELD_LOCAL_ADDRESS = 1;
const FIELD_STATE = 3;
const FIELD_INODE = 9;

export interface PortOwner {
  readonly pid: number;
  /** What it was started as, cut to a length that a message can have. */
  readonly command: string;
}

const COMMAND_CHARACTERS_MAX = 80;

/**
 * Who listens at a TCP port of this machine. undefined: nobody does, or the operating system does not say (another
 * account's process, or no Linux).
 */
export function findPortOwner(port: number): PortOwner | undefined {
  const inodes = new Set([...listenersAt('/proc/net/tcp', port), ...listenersAt('/proc/net/tcp6', port)]);
  if (inodes.size === 0) return undefined;
  for (const pid of entriesOf('/proc').filter((name) => /^\d+$/.test(name))) {
    const directory = `/proc/${pid}/fd`;
    for (const descriptor of entriesOf(directory)) {
      const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`${directory}/${descriptor}`))?.[1];
      if (inode !== undefined && inodes.has(inode)) return { pid: Number(pid), command: commandOf(pid) };
    }
  }
  return undefined;
}

function listenersAt(table: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return textOf(table)
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[FIELD_STATE] === LISTENING && fields[FIELD_LOCAL_ADDRESS]?.endsWith(suffix))
    .map((fields) => fields[FIELD_INODE] as string);
}

function commandOf(pid: string): string {
  const command = textOf(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
  return command.length <= COMMAND_CHARACTERS_MAX ? command : `${command.slice(0, COMMAND_CHARACTERS_MAX)}…`;
}

/** What has gone meanwhile, or belongs to somebody else, says nothing. */
function unlessRefused<Value>(action: () => Value, otherwise: Value): Value {
  try {
    return action();
  } catch (error) {
    if (error instanceof Error && 'code' in error) return otherwise;
    throw error;
  }
}

const textOf = (path: string): string => unlessRefused(() => readFileSync(path, 'utf8'), '');
const linkOf = (path: string): string => unlessRefused(() => readlinkSync(path), '');
const entriesOf = (path: string): string[] => unlessRefused(() => readdirSync(path), []);
