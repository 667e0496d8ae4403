/**
 * The door to other programs that are run to their end. They get no rights that we have: where this process is root,
 * they run as another account.
 */
export interface Processes {
  /**
   * Makes a temporary directory in which programs may write.
   * @throws VarveError ‘precondition’ / NO_ACCOUNT, where there is nobody to run programs as; ‘unavailable’ / the disk's
   */
  openDirectory(): Promise<ProgramDirectory>;
}

/** It is removed, with all that is in it, when it is disposed of. */
export interface ProgramDirectory extends AsyncDisposable {
  readonly path: string;
  /**
   * Runs a program in it to its end, and returns what it has printed.
   * @throws VarveError ‘unavailable’ / PROGRAM_FAILED with what it has printed; ‘cancelled’: it was killed, with all
   *   that it has started
   */
  run(program: string, parameters: readonly string[], options: RunOptions): Promise<string>;
}

export interface RunOptions {
  readonly signal: AbortSignal;
  /** All that the program is to see beside PATH. */
  readonly environment?: Readonly<Record<string, string>>;
  /** It asks for the name of its user, and ends without one. */
  readonly needsName?: boolean;
}
