import type { Command, Option } from 'commander';

/** Commands whose options all may stand in the environment and in a file, in this order. */
const SERVICES = ['start', 'safekeeper', 'pageserver', 'control', 'compute'];
const START = 'start';
/** Of commands that ask a system which runs already. */
const CLIENT = 'client';
/** How a command is run once: who is told to go on in the background would go on starting others. */
const NOT_CONFIGURED = ['detach'];
const CLIENT_KEYS = ['dir', 'api', 'token-path', 'project'];
/** They have no `--api`, and ask the system of a directory all the same. */
const ASKING = ['stop', 'status', 'logs'];
/** It looks at what `start` would do. */
const LOOKING = 'doctor';

/** An option that may be set elsewhere than on the command line. */
export interface ConfigurableOption {
  /** As the flag has it, without what negates it. */
  readonly key: string;
  readonly option: Option;
}

/** A table of the file, and a part of names in the environment. */
export interface Section {
  readonly name: string;
  readonly options: readonly ConfigurableOption[];
}

/** All that can be configured, read from the commands that there are. */
export function sectionsOf(program: Command): Section[] {
  const services = SERVICES.flatMap((name) => program.commands.filter((command) => command.name() === name));
  const asking = leavesOf(program).find(
    (command) => hasOption(command, 'api') && hasOption(command, 'project'),
  );
  return [
    ...services.map((command) => ({ name: command.name(), options: optionsOf(command) })),
    {
      name: CLIENT,
      options: asking === undefined ? [] : optionsOf(asking).filter(({ key }) => CLIENT_KEYS.includes(key)),
    },
  ];
}

/** Where the values of a command's options are looked for, the first before the next; empty: nowhere. */
export function sectionNamesOf(command: Command): string[] {
  const isTop = command.parent !== null && command.parent.parent === null;
  const name = command.name();
  if (isTop && SERVICES.includes(name)) return [name];
  if (isTop && name === LOOKING) return [START];
  const isAsking = isTop && ASKING.includes(name);
  return isAsking || (hasOption(command, 'api') && hasOption(command, 'dir')) ? [CLIENT, START] : [];
}

/** Whether a value that a section has counts for a command: those who ask take only the directory of `start`. */
export const countsFor = (command: Command, section: string, key: string): boolean =>
  section !== START || ['start', LOOKING].includes(command.name()) || key === 'dir';

export const optionsOf = (command: Command): ConfigurableOption[] =>
  command.options
    .filter(({ hidden, long }) => !hidden && long !== undefined)
    .map((option) => ({ key: option.name().replace(option.negate ? /^no-/ : '', ''), option }))
    .filter(({ key }) => !NOT_CONFIGURED.includes(key));

/** An option without a value. */
export const isSwitch = ({ option }: ConfigurableOption): boolean => option.negate || option.isBoolean();

/** One that may be given again and again. */
export const isRepeatable = ({ option }: ConfigurableOption): boolean =>
  option.flags.includes('<name=value>');

export const isList = ({ option }: ConfigurableOption): boolean => option.flags.includes(',…>');

export const isPath = ({ option }: ConfigurableOption): boolean =>
  /<(directory|file|path)>/.test(option.flags);

const hasOption = (command: Command, name: string): boolean =>
  command.options.some((option) => option.long === `--${name}`);

export const leavesOf = (command: Command): Command[] =>
  command.commands.length === 0 ? [command] : command.commands.flatMap(leavesOf);
