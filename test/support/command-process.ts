import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** What a process can be asked for by name, with an argument and an answer that structured clones can hold. */
export type CommandTable<Commands> = {
  readonly [Command in keyof Commands]: { readonly argument: unknown; readonly answer: unknown };
};

export type CommandHandlers<Commands extends CommandTable<Commands>> = {
  readonly [Command in keyof Commands]: (
    argument: Commands[Command]['argument'],
  ) => Promise<Commands[Command]['answer']>;
};

interface Request {
  readonly id: number;
  readonly command: string;
  readonly argument: unknown;
}

type Answer =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: string };

interface Waiting {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: Error) => void;
}

/** A process of its own that does what it is asked for, until it is disposed of. */
export class CommandProcess<Commands extends CommandTable<Commands>> implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  /** @param main path of a program that calls serveCommands */
  constructor(main: string, execArguments: readonly string[] = []) {
    this.#child = fork(main, {
      // What bin/varve sets for a service.
      env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
      execArgv: [
        ...process.execArgv,
        '--min-semi-space-size=16',
        '--max-semi-space-size=32',
        ...execArguments,
      ],
      serialization: 'advanced',
    });
    this.#child.on('message', (message) => this.#take(message as Answer));
    this.#child.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) {
        reject(new Error(`a process of the benchmark has ended: ${signal ?? code}`));
      }
      this.#waiting.clear();
    });
  }

  ask<Command extends keyof Commands & string>(
    command: Command,
    argument: Commands[Command]['argument'],
  ): Promise<Commands[Command]['answer']> {
    const id = ++this.#lastId;
    const request: Request = { id, command, argument };
    return new Promise((resolve, reject) => {
      if (!this.#child.connected) return reject(new Error('a process that is asked for something has ended'));
      this.#waiting.set(id, { resolve, reject });
      this.#child.send(request);
    });
  }

  /** Resolves when the process is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    if (this.#child.connected) this.#child.disconnect();
    await exited;
  }

  #take(message: Answer): void {
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if ('error' in message) waiting?.reject(new Error(message.error));
    else waiting?.resolve(message.answer as never);
  }
}

/** In the process itself: carries commands out, and ends in order once nobody is left who could want something. */
export function serveCommands<Commands extends CommandTable<Commands>>(
  handlers: CommandHandlers<Commands>,
  stop: () => Promise<void>,
): void {
  const answer = async ({ id, command, argument }: Request): Promise<Answer> => {
    try {
      return { id, answer: await handlers[command as keyof Commands](argument as never) };
    } catch (error) {
      return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    }
  };
  process.on('message', (request) => {
    void answer(request as Request).then((message) => process.connected && process.send?.(message));
  });
  process.on('disconnect', () => {
    void stop().then(() => process.exit());
  });
}
