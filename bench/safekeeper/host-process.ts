import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { HostAnswer, HostCommands, HostRequest } from './host-messages.ts';

const MAIN = fileURLToPath(new URL('../safekeeper-host.ts', import.meta.url));

interface Waiting {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: Error) => void;
}

/** A process in which safekeepers, proposers and clients run when it is told to. */
export class HostProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #isStopped = false;

  constructor(execArguments: readonly string[] = []) {
    this.#child = fork(MAIN, {
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
    this.#child.on('message', (message) => this.#take(message as HostAnswer));
    this.#child.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) {
        reject(new Error(`a process of the benchmark has ended: ${signal ?? code}`));
      }
    });
  }

  ask<Command extends keyof HostCommands>(
    command: Command,
    argument: HostCommands[Command]['argument'],
  ): Promise<HostCommands[Command]['answer']> {
    const id = ++this.#lastId;
    const request: HostRequest = { id, command, argument };
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send(request);
    });
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    await this.ask('stop', undefined);
    this.#child.disconnect();
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #take(message: HostAnswer): void {
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if ('error' in message) waiting?.reject(new Error(message.error));
    else waiting?.resolve(message.answer as never);
  }
}
