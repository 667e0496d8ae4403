import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { afterAll, describe, expect, test } from 'vitest';
import type { CliContext } from '../../src/cli/context.ts';
import { makeProgram } from '../../src/cli/program.ts';
import { nodeFiles } from '../../src/io/node/files.ts';

const BIN = fileURLToPath(new URL('../../bin/varve', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'varve-completion-'));
afterAll(() => rmSync(directory, { recursive: true }));

const has = (shell: string): boolean => spawnSync(shell, ['-c', ':']).status === 0;

const context: CliContext = {
  version: '1.2.3',
  runtime: { version: 'v24.0.0', platform: 'linux-x64' },
  isJson: false,
  output: { isTerminal: false, write: async () => undefined, writeJson: async () => undefined },
  diagnostics: { isTerminal: false, write: () => undefined, nowMs: () => 0 },
  files: nodeFiles,
  environment: {},
  answerNo: () => undefined,
};
const program = makeProgram(context, () => undefined);

/** Writes down what the program prints, as a user has it. */
function writeScript(shell: string): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BIN, 'completion', shell], {
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const path = join(directory, `completion.${shell}`);
  writeFileSync(path, stdout);
  return path;
}

function run(shell: string, text: string): string {
  const { status, stdout, stderr } = spawnSync(shell, ['-c', text], { encoding: 'utf8', cwd: directory });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

const allCommands = (
  command: Command,
  path: readonly string[],
): { command: Command; path: readonly string[] }[] => [
  { command, path },
  ...command.commands.flatMap((each) => allCommands(each, [...path, each.name()])),
];

describe.skipIf(!has('bash'))('bash', () => {
  const script = has('bash') ? writeScript('bash') : '';

  /** What bash would offer for each of some lines, of which the last word is being written. */
  function complete(lines: readonly (readonly string[])[]): string[][] {
    const tries = lines.map((words) => {
      const all = ['varve', ...words].map((word) => `'${word}'`).join(' ');
      return `COMP_WORDS=(${all}); COMP_CWORD=${words.length}; _varve; printf '%s\\n' "\${COMPREPLY[@]}" ---`;
    });
    const output = run('bash', [`source ${script}`, ...tries].join('\n'));
    return output
      .split('---\n')
      .slice(0, -1)
      .map((part) => part.split('\n').filter((word) => word !== ''));
  }

  test('every command of the program is offered, with every option that it has', () => {
    const all = allCommands(program, []);
    expect(all.length).toBeGreaterThan(40);
    const names = complete(all.map(({ path }) => [...path, '']));
    const options = complete(all.map(({ path }) => [...path, '--']));
    for (const [index, { command, path }] of all.entries()) {
      const wanted = command.commands.map((each) => each.name());
      expect(names[index], path.join(' ')).toEqual(wanted.length === 0 ? [] : [...wanted, 'help']);
      const long = [...command.options, ...program.options]
        .filter(({ hidden }) => !hidden)
        .map((each) => each.long);
      const expected = long.filter((each) => path.length === 0 || each !== '--version');
      expect([...new Set(options[index])].sort(), path.join(' ')).toEqual(
        [...new Set([...expected, '--help'])].sort(),
      );
    }
  });

  test('what is begun narrows it, and values of options are not taken for commands', () => {
    expect(
      complete([
        ['sta'],
        ['branch', 're'],
        ['start', '--log-level', ''],
        ['start', '--log-level', 'w'],
        ['--config', 'start', 'endpoint', 's'],
        ['branch', 'create', '--from', ''],
        ['connect', 'main', '--', '-'],
      ]),
    ).toEqual([
      ['start', 'status'],
      ['rename', 'reset', 'restore'],
      ['debug', 'info', 'warn', 'error'],
      ['warn'],
      ['start', 'stop', 'suspend'],
      [],
      [],
    ]);
  });

  test('it is registered for varve, and completes names of directories', () => {
    expect(run('bash', `source ${script}; complete -p varve`)).toBe(
      'complete -o bashdefault -o default -F _varve varve\n',
    );
    writeFileSync(join(directory, 'a-file'), '');
    spawnSync('mkdir', [join(directory, 'a-directory')]);
    expect(complete([['start', '--dir', 'a-']])).toEqual([['a-directory']]);
  });
});

test.skipIf(!has('zsh'))('zsh reads its script', () => {
  const path = writeScript('zsh');
  expect(spawnSync('zsh', ['-f', '-n', path], { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
});

test.skipIf(!has('fish'))('fish offers commands, options and values', () => {
  const path = writeScript('fish');
  const offered = (line: string): string[] =>
    run('fish', `source ${path}; complete -C '${line}'`)
      .split('\n')
      .filter((each) => each !== '')
      .map((each) => each.split('\t')[0] as string);
  expect(offered('varve sta')).toEqual(['start', 'status']);
  expect(offered('varve branch re')).toEqual(['rename', 'reset', 'restore']);
  expect(offered('varve start --log-level ').sort()).toEqual(['debug', 'error', 'info', 'warn']);
});

test('the scripts of the others name every command, too', () => {
  for (const shell of ['zsh', 'fish']) {
    const { stdout } = spawnSync(process.execPath, [BIN, 'completion', shell], { encoding: 'utf8' });
    for (const { path } of allCommands(program, [])) {
      if (path.length > 0) expect(stdout).toContain(`'${path.join(' ')}'`);
    }
  }
});

test('a shell that nobody knows is refused', () => {
  const { status, stderr } = spawnSync(process.execPath, [BIN, 'completion', 'tcsh'], { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining('bash, zsh, fish') });
});
