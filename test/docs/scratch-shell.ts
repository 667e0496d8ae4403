import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VarveFamily } from '../support/varve-process.ts';

const BIN = fileURLToPath(new URL('../../bin/varve', import.meta.url));
const CURL = fileURLToPath(new URL('curl.ts', import.meta.url));

/** What a reader has on PATH. Ports are free ones, whatever else runs on the machine; all else is as it is written. */
const PROGRAMS: Readonly<Record<string, string>> = {
  varve: `case "$1" in start) set -- "$@" --port 0;; esac\nexec '${process.execPath}' '${BIN}' "$@"`,
  npx: '[ "$1" = varve ] || exit 64\nexec "$@"',
  npm: '[ "$*" = start ] || exit 64\nexec varve start',
  curl: `exec '${process.execPath}' '${CURL}' "$@"`,
};

/** A directory in which a reader tries out what a document says. */
export class ScratchShell implements AsyncDisposable {
  readonly directory: string;
  readonly #family: VarveFamily;
  readonly #top: string;
  readonly #running = new Set<ChildProcess>();

  private constructor(top: string) {
    this.#top = top;
    this.directory = join(top, 'work');
    this.#family = new VarveFamily(top);
  }

  static async make(): Promise<ScratchShell> {
    const top = await mkdtemp(join(tmpdir(), 'varve-docs-'));
    // Servers run as another account, where this one is root.
    await chmod(top, 0o711);
    const shell = new ScratchShell(top);
    await mkdir(join(top, 'bin'));
    await mkdir(shell.directory);
    for (const [name, program] of Object.entries(PROGRAMS)) {
      const path = join(top, 'bin', name);
      await writeFile(path, `#!/bin/sh\n${program}\n`);
      await chmod(path, 0o755);
    }
    return shell;
  }

  /** Runs a program of the shell to its end; a command that fails ends it. @throws Error with what it has printed */
  async run(program: string, input = ''): Promise<string> {
    const { child, printed } = this.#spawn(program);
    child.stdin?.on('error', () => undefined).end(input);
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(`“${program}” has ended with ${code}: ${printed.text}`);
    return printed.text;
  }

  /** Runs one that does not end by itself, until it has printed what tells that it is ready. */
  async start(program: string, ready: RegExp): Promise<ChildProcess> {
    const { child, printed } = this.#spawn(`exec ${program}`);
    child.stdin?.end();
    const ended = once(child, 'close');
    while (!ready.test(printed.text)) {
      const isOver = await Promise.race([printed.more().then(() => false), ended.then(() => true)]);
      if (isOver) throw new Error(`“${program}” has ended: ${printed.text}`);
    }
    return child;
  }

  #spawn(program: string): { child: ChildProcess; printed: Printed } {
    const environment = this.#family.environment;
    const child = spawn('/bin/sh', ['-ec', program], {
      cwd: this.directory,
      env: { ...environment, PATH: `${join(this.#top, 'bin')}:/usr/bin:/bin` },
      stdio: 'pipe',
    });
    this.#running.add(child);
    child.once('close', () => this.#running.delete(child));
    return { child, printed: new Printed(child) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#running) {
      const ended = once(child, 'close');
      child.kill('SIGTERM');
      await ended;
    }
    await this.#family[Symbol.asyncDispose]();
    await rm(this.#top, { recursive: true, force: true });
  }
}

/** What a process prints, on both ways. */
class Printed {
  text = '';
  #told = Promise.withResolvers<void>();

  constructor({ stdout, stderr }: ChildProcess) {
    for (const stream of [stdout, stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.text += text;
        this.#told.resolve();
        this.#told = Promise.withResolvers();
      });
    }
  }

  more(): Promise<void> {
    return this.#told.promise;
  }
}
