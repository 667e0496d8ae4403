import type { Command } from 'commander';
import { BadRequestError, VarveError } from '../../base/errors.ts';
import { didYouMean } from '../configuration/nearest-name.ts';
import { applyConfiguration, originOf, readConfiguration, settingOf } from '../configuration/resolve.ts';
import { type ConfigurableOption, isRepeatable, isSwitch, type Section } from '../configuration/sections.ts';
import { maskSecrets, type Origin, originText } from '../configuration/setting.ts';
import type { CliContext } from '../context.ts';
import { tableLines } from '../table.ts';

interface ShownOption {
  readonly section: string;
  readonly option: string;
  /** null: there is none, or it is made when the command runs. */
  readonly value: string | null;
  readonly origin: Origin;
}

export function registerConfig(program: Command, context: CliContext): void {
  program
    .command('config')
    .description(
      'show what the options of commands are set to, and where: by a flag, the environment or a file',
    )
    .argument('[command]', 'one of them, with flags behind it that it would be given; without it all')
    .argument('[flags...]')
    .option('--effective', 'also what nobody has set')
    .allowUnknownOption()
    .addHelpText('after', '\nPasswords are not shown. See docs/configuration.md.')
    .action((name: string | undefined, given: string[], { effective }: { readonly effective?: true }) =>
      run(program, context, { name, given, isAll: effective === true }),
    );
}

interface Asked {
  readonly name: string | undefined;
  readonly given: readonly string[];
  readonly isAll: boolean;
}

async function run(program: Command, context: CliContext, { name, given, isAll }: Asked): Promise<void> {
  const configuration = await readConfiguration(program, context);
  const { sections, filePath } = configuration;
  const names = sections.map((section) => section.name);
  if (name !== undefined && !names.includes(name)) {
    const reason = `“${name}” has no configuration${didYouMean(name, names)}: there are ${names.join(', ')}`;
    throw new VarveError('not-found', 'NO_SUCH_SECTION', reason);
  }
  const shown = sections
    .filter((section) => name === undefined || section.name === name)
    .flatMap((section) => {
      const command = commandOf(program, section);
      applyConfiguration(command, configuration);
      return showSection(section, command, given);
    })
    .filter(({ origin }) => isAll || origin.kind !== 'default');
  if (context.isJson) {
    const options = shown.map(({ origin, ...each }) => ({ ...each, ...inJson(origin) }));
    await context.output.writeJson({ file: filePath ?? null, options });
    return;
  }
  const file = filePath === undefined ? 'no configuration file' : `configuration file ${filePath}`;
  await context.output.write(`${[file, ...linesOf(shown)].join('\n')}\n`);
}

/** Of those who ask a running system one stands for all. */
const commandOf = (program: Command, { name }: Section): Command => {
  const found = program.commands.find((command) => command.name() === (name === 'client' ? 'project' : name));
  return (name === 'client' ? found?.commands[0] : found) as Command;
};

function showSection({ name, options }: Section, command: Command, given: readonly string[]): ShownOption[] {
  const flags = new Map<string, string[]>();
  for (const { key, option } of options) {
    command.on(`option:${option.name()}`, (value: string | null | undefined) => {
      const texts = isRepeatable({ key, option }) ? (flags.get(key) ?? []) : [];
      flags.set(key, [...texts, value ?? String(!option.negate)]);
    });
  }
  const { operands, unknown } = command.parseOptions([...given]);
  const rest = [...operands, ...unknown][0];
  if (rest !== undefined) {
    const known = options.flatMap(({ option }) => (option.long === undefined ? [] : [option.long as string]));
    throw new BadRequestError('UNKNOWN_OPTION', `${name} has no option “${rest}”${didYouMean(rest, known)}`);
  }
  return options.map((each) => {
    const origin = originOf(command, each.key);
    const texts = origin.kind === 'flag' ? flags.get(each.key) : settingOf(command, each.key)?.texts;
    const value = texts?.map(maskSecrets).join(', ') ?? defaultText(each);
    return { section: name, option: each.key, value, origin };
  });
}

/** As the help has it: some stand in its words, since the value itself is made elsewhere. */
function defaultText(each: ConfigurableOption): string | null {
  const { defaultValue, defaultValueDescription, description, negate } = each.option;
  if (isSwitch(each)) return String(negate);
  if (defaultValueDescription !== undefined) return defaultValueDescription;
  if (typeof defaultValue === 'string' || typeof defaultValue === 'number') return String(defaultValue);
  return /\(([^()]+)\)$/.exec(description)?.[1] ?? null;
}

function inJson(origin: Origin): object {
  const { kind, ...place } = origin;
  return 'path' in place ? { source: kind, file: place.path, line: place.line } : { source: kind, ...place };
}

function linesOf(shown: readonly ShownOption[]): string[] {
  return Map.groupBy(shown, ({ section }) => section)
    .entries()
    .flatMap(([section, options]) => [
      '',
      `[${section}]`,
      ...tableLines(
        options.map(({ option, value, origin }) => [option, value ?? '-', originText(origin)]),
        [],
      ),
    ])
    .toArray();
}
