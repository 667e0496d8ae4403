import type { Command } from 'commander';
import { BadRequestError, VarveError } from '../../base/errors.ts';
import type { CliContext } from '../context.ts';
import { FILE_VARIABLE, settingsOfEnvironment } from './environment.ts';
import { readConfigurationFile } from './file.ts';
import {
  type ConfigurableOption,
  countsFor,
  isSwitch,
  optionsOf,
  type Section,
  sectionNamesOf,
  sectionsOf,
} from './sections.ts';
import { maskSecrets, type Origin, originText, type Setting } from './setting.ts';

/** A variable that others know, too. It counts where nothing else says anything. */
const FOREIGN_VARIABLE = 'DATABASE_URL';
const FOREIGN_KEY = 'database-url';
const INVALID_ARGUMENT = 'commander.invalidArgument';

/** All that the environment and a file set. */
export interface Configuration {
  readonly sections: readonly Section[];
  readonly filePath: string | undefined;
  /** The first of an option counts. */
  readonly settings: readonly Setting[];
}

/** Values of commands that were not given by flags: where each comes from. */
const origins = new WeakMap<Command, Map<string, Setting>>();

/**
 * Reads it, as the options `--config` and `--no-config` of the program say.
 * @throws as readConfigurationFile, settingsOfEnvironment
 */
export async function readConfiguration(program: Command, context: CliContext): Promise<Configuration> {
  const sections = sectionsOf(program);
  const { config } = program.opts<{ readonly config?: string | false }>();
  if (config === false) return { sections, filePath: undefined, settings: [] };
  const { environment, files } = context;
  const ofEnvironment = settingsOfEnvironment(environment, sections);
  const file = await readConfigurationFile(
    files,
    config ?? (environment[FILE_VARIABLE] || undefined),
    sections,
  );
  const settings = [
    ...ofEnvironment,
    ...(file?.settings ?? []),
    ...foreign(environment[FOREIGN_VARIABLE], sections),
  ];
  return { sections, filePath: file?.path, settings };
}

const foreign = (url: string | undefined, sections: readonly Section[]): Setting[] =>
  url === undefined || url === ''
    ? []
    : sections
        .filter(({ options }) => options.some(({ key }) => key === FOREIGN_KEY))
        .map(({ name }) => ({
          section: name,
          key: FOREIGN_KEY,
          texts: [url],
          origin: { kind: 'environment', variable: FOREIGN_VARIABLE },
        }));

/** Whether nobody has said that a value is meant for Varve. */
export const isForeign = (origin: Origin): boolean =>
  origin.kind === 'environment' && origin.variable === FOREIGN_VARIABLE;

/**
 * Gives a command the values that are set for it. To be called before it is parsed: its flags go over them.
 * @throws BadRequestError INVALID_ARGUMENT with where the value stands
 */
export function applyConfiguration(command: Command, { settings }: Configuration): void {
  const applied = new Map<string, Setting>();
  const names = sectionNamesOf(command);
  for (const option of optionsOf(command)) {
    const { key } = option;
    const setting = names
      .filter((name) => countsFor(command, name, key))
      .flatMap((name) => settings.filter((each) => each.section === name && each.key === key))[0];
    if (setting === undefined) continue;
    applied.set(key, setting);
    apply(command, option, setting);
  }
  origins.set(command, applied);
}

function apply(command: Command, option: ConfigurableOption, setting: Setting): void {
  const attribute = option.option.attributeName();
  const source = setting.origin.kind === 'file' ? 'config' : 'env';
  const set = (value: unknown): void => void command.setOptionValueWithSource(attribute, value, source);
  if (isSwitch(option)) {
    const isOn = setting.texts[0] === 'true';
    // One that is not given has no value, rather than false.
    if (isOn || option.option.negate) set(isOn);
    return;
  }
  const { parseArg } = option.option;
  let value: unknown = command.getOptionValue(attribute);
  for (const text of setting.texts) {
    value = parseArg === undefined ? text : parsed(() => parseArg(text, value), text, setting);
  }
  set(value);
}

function parsed(parse: () => unknown, text: string, { section, key, origin }: Setting): unknown {
  try {
    return parse();
  } catch (error) {
    const isInvalid = error instanceof Error && 'code' in error && error.code === INVALID_ARGUMENT;
    if (!isInvalid && !(error instanceof VarveError)) throw error;
    const reason = `${section}.${key} cannot be “${maskSecrets(text)}” (${originText(origin)}): ${error.message}`;
    throw new BadRequestError('INVALID_ARGUMENT', reason, {}, error);
  }
}

/** Where the value comes from that an option of a command has. @param key as the flag, without dashes before it */
export function originOf(command: Command, key: string): Origin {
  const option = optionsOf(command).find((each) => each.key === key)?.option;
  const source = option === undefined ? undefined : command.getOptionValueSource(option.attributeName());
  if (source === 'cli') return { kind: 'flag' };
  return settingOf(command, key)?.origin ?? { kind: 'default' };
}

/** What the environment or a file sets for an option of a command. */
export const settingOf = (command: Command, key: string): Setting | undefined =>
  origins.get(command)?.get(key);
