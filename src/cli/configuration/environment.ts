import { BadRequestError } from '../../base/errors.ts';
import { didYouMean } from './nearest-name.ts';
import { type ConfigurableOption, isRepeatable, isSwitch, type Section } from './sections.ts';
import type { Setting } from './setting.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

const PREFIX = 'VARVE_';
/** Names the file. */
export const FILE_VARIABLE = 'VARVE_CONFIG';
/** What our own programs tell each other: the agent of a compute its servers, who hands over a process, and our tests. */
const OWN = /^VARVE_(SHIM_|TEST_|TORTURE_|MUTANT|ENGINE_SEEDS$|EVERY_KILL$|MIGRATIONS$|OWNER_DESCRIPTOR$)/;
const SWITCHES: Readonly<Record<string, string>> = {
  true: 'true',
  '1': 'true',
  false: 'false',
  '0': 'false',
};

/** Of one command alone, and of every command that has such an option. The first one counts before the second. */
export const variablesOf = (section: string, key: string): [string, string] => {
  const name = key.toUpperCase().replaceAll('-', '_');
  return [`${PREFIX}${section.toUpperCase()}_${name}`, PREFIX + name];
};

/**
 * What the environment sets. An empty variable sets nothing.
 * @throws BadRequestError UNKNOWN_SETTING, BAD_SETTING
 */
export function settingsOfEnvironment(environment: Environment, sections: readonly Section[]): Setting[] {
  const variables = sections.flatMap(({ name, options }) =>
    options.flatMap(({ key }) => variablesOf(name, key)),
  );
  checkVariables(environment, [...new Set([...variables, FILE_VARIABLE])]);
  return sections.flatMap(({ name, options }) =>
    options.flatMap((each) => {
      const variable = variablesOf(name, each.key).find((one) => (environment[one] ?? '') !== '');
      if (variable === undefined) return [];
      const texts = textsOf(each, variable, environment[variable] as string);
      return [{ section: name, key: each.key, texts, origin: { kind: 'environment', variable } as const }];
    }),
  );
}

function checkVariables(environment: Environment, known: readonly string[]): void {
  for (const name of Object.keys(environment)) {
    if (!name.startsWith(PREFIX) || OWN.test(name) || known.includes(name)) continue;
    const reason = `no option is set by the environment’s ${name}${didYouMean(name, known)}: ‘varve config --effective’ shows what there is`;
    throw new BadRequestError('UNKNOWN_SETTING', reason);
  }
}

function textsOf(option: ConfigurableOption, variable: string, value: string): string[] {
  if (isRepeatable(option)) return value.split('\n').filter((line) => line !== '');
  if (!isSwitch(option)) return [value];
  const text = SWITCHES[value];
  if (text !== undefined) return [text];
  throw new BadRequestError(
    'BAD_SETTING',
    `the environment’s ${variable} is true or false, and not “${value}”`,
  );
}
