import { CommandError } from './wire-error.ts';

/** What C's isspace says in every locale a server starts in. */
const isSpace = (character: string): boolean => /^[ \t\n\v\f\r]$/.test(character);

/**
 * Splits the startup parameter `options` into words at white space. A backslash takes the character after it as it is
 * (postinit.c, pg_split_opts).
 */
export function splitOptions(options: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let isEscaped = false;
  for (const character of options) {
    if (!isEscaped && isSpace(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (!isEscaped && character === '\\') {
      word ??= '';
      isEscaped = true;
    } else {
      word = (word ?? '') + character;
      isEscaped = false;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

/**
 * The settings in `options`, as a server takes them: `-c name=value`, `-cname=value` and `--name=value`, where a
 * hyphen in a name stands for an underscore (guc.c, ParseLongOption).
 * @throws CommandError for every other word, and for a setting without a value
 */
export function parseServerOptions(options: string): Map<string, string> {
  const settings = new Map<string, string>();
  const words = splitOptions(options);
  for (let index = 0; index < words.length; index++) {
    const word = words[index] as string;
    let setting: string | undefined;
    if (word === '-c') setting = words[++index];
    else if (/^(-c|--)./s.test(word)) setting = word.slice(2);
    else throw new CommandError('BAD_OPTION', `"${word}" is not an option: write -c name=value`);
    const [name, value] = cutSetting(setting ?? '');
    if (name === '' || value === undefined)
      throw new CommandError('BAD_OPTION', `"${word}" requires a value`);
    settings.set(name.replaceAll('-', '_'), value);
  }
  return settings;
}

/**
 * The settings in `options`, as safekeepers and pageservers take them: each word `name=value`, with or without `-c`
 * before it. Their clients send one `-c` for several words. Words without `=` mean nothing.
 */
export function parseServiceOptions(options: string): Map<string, string> {
  const settings = new Map<string, string>();
  for (const word of splitOptions(options)) {
    const [name, value] = cutSetting(word.startsWith('-c') ? word.slice(2) : word);
    if (name !== '' && value !== undefined) settings.set(name, value);
  }
  return settings;
}

/** Writes settings so that every one of the functions here reads them back. */
export function formatOptions(settings: Iterable<readonly [name: string, value: string]>): string {
  const words: string[] = [];
  for (const [name, value] of settings) {
    if (!/^[A-Za-z_][A-Za-z0-9_.]*$/.test(name))
      throw new CommandError('BAD_OPTION', `"${name}" is not a setting`);
    words.push('-c', `${name}=${value}`.replace(/[ \t\n\v\f\r\\]/g, '\\$&'));
  }
  return words.join(' ');
}

function cutSetting(setting: string): [name: string, value: string | undefined] {
  const equals = setting.indexOf('=');
  return equals < 0 ? [setting, undefined] : [setting.slice(0, equals), setting.slice(equals + 1)];
}
