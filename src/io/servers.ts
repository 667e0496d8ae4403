/**
 * The door to other programs that run for long, in directories of their own. They get no rights that we have: where this
 * process is root, they run as another account. None of them outlives this process, however that ends.
 */
export interface Servers {
  /**
   * Makes a directory of our own, through which the account can get to what it has below it, and in which it can write
   * nothing. It may be there already.
   * @throws as makeDirectory
   */
  makeParent(path: string): Promise<void>;
  /**
   * Makes a directory of the account's, which nobody else can enter. It may be there already.
   * @throws VarveError ‘precondition’ / NO_ACCOUNT where there is nobody to run programs as, UNREACHABLE_DIRECTORY where
   *   the account cannot get there, PERMISSION_DENIED; the disk's
   */
  makeDirectory(path: string): Promise<void>;
  /** Gives all that is below a directory to the account. */
  giveAll(path: string): Promise<void>;
  /** @throws VarveError ‘precondition’ / PROGRAM_NOT_STARTED */
  start(program: string, parameters: readonly string[], options: ServerOptions): Promise<ServerProgram>;
  /** Removes a System V segment that a program which was killed has left. It may be gone. */
  removeSharedMemory(id: number): Promise<void>;
  /** Ends a program that an earlier life of ours has left, and all that it has started. It may be gone. */
  killLeftOver(identity: ProgramIdentity): Promise<void>;
}

export interface ServerOptions {
  readonly directory: string;
  /** All that the program is to see beside PATH. */
  readonly environment?: Readonly<Record<string, string>>;
  /** What it prints goes to the end of this file. */
  readonly outputPath: string;
  /** When the file is longer, what is in it goes to another one, of `.1` behind the name, in place of what was there. */
  readonly outputBytesMax?: number;
}

/** Tells a process from all others, also from one that has its number later. */
export interface ProgramIdentity {
  readonly pid: number;
  /** As the operating system counts. */
  readonly startTime: string;
}

export type ServerSignal = 'SIGHUP' | 'SIGINT' | 'SIGQUIT' | 'SIGTERM';

export interface ServerProgram {
  readonly identity: ProgramIdentity;
  /** Resolves when it has ended, with how: `exit status 1`, or the name of a signal. */
  readonly ended: Promise<string>;
  /** Does nothing where it has ended. */
  signal(name: ServerSignal): void;
  /** Ends it at once, with all that it has started; none of them does anything more when this resolves. */
  kill(): Promise<void>;
}
