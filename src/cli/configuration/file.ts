import { dirname, resolve } from 'node:path';
import { parse, TomlError, type TomlTable } from 'smol-toml';
import { BadRequestError, VarveError } from '../../base/errors.ts';
import type { Files } from '../../io/files.ts';
import { readWholeFile } from '../../io/read-whole-file.ts';
import { didYouMean } from './nearest-name.ts';
import { type ConfigurableOption, isList, isPath, isRepeatable, isSwitch, type Section } from './sections.ts';
import type { Setting } from './setting.ts';
import { findLines, isTable, lineKey } from './toml-lines.ts';

/** Looked for in the working directory. */
export const FILE_DEFAULT = 'varve.toml';
const FILE_BYTES_MAX = 64 * 1024;

export interface ConfigurationFile {
  readonly path: string;
  readonly settings: readonly Setting[];
}

/**
 * Reads what a file sets, in the whole of it: what nobody knows in it is refused, whichever command is given.
 * @param given a path; undefined: FILE_DEFAULT, where there is one
 * @throws BadRequestError BAD_CONFIGURATION, UNKNOWN_SETTING, BAD_SETTING, with file and line; what the disk fails of
 */
export async function readConfigurationFile(
  files: Files,
  given: string | undefined,
  sections: readonly Section[],
): Promise<ConfigurationFile | undefined> {
  const path = resolve(given ?? FILE_DEFAULT);
  let bytes: Uint8Array;
  try {
    const { sizeBytes } = await files.stat(path);
    if (sizeBytes > FILE_BYTES_MAX) throw fault(path, 1, `it has more than ${FILE_BYTES_MAX} bytes`);
    bytes = await readWholeFile(files, path);
  } catch (error) {
    if (given === undefined && error instanceof VarveError && error.code === 'FILE_NOT_FOUND')
      return undefined;
    throw error;
  }
  const text = new TextDecoder().decode(bytes).replaceAll('\r\n', '\n');
  const document = parseDocument(path, text);
  return { path, settings: new Reader(path, findLines(text), sections).read(document) };
}

function parseDocument(path: string, text: string): TomlTable {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = (error.message.split('\n')[0] as string).replace('Invalid TOML document: ', '');
    throw fault(path, error.line, `this is no TOML: ${reason}`);
  }
}

const fault = (path: string, line: number, reason: string, code = 'BAD_CONFIGURATION'): BadRequestError =>
  new BadRequestError(code, `${path}:${line}: ${reason}`);

class Reader {
  readonly #path: string;
  readonly #lines: ReadonlyMap<string, number>;
  readonly #sections: readonly Section[];

  constructor(path: string, lines: ReadonlyMap<string, number>, sections: readonly Section[]) {
    this.#path = path;
    this.#lines = lines;
    this.#sections = sections;
  }

  read(document: TomlTable): Setting[] {
    return Object.entries(document).flatMap(([name, table]) => {
      const section = this.#sections.find((each) => each.name === name);
      if (section === undefined)
        throw this.#unknown(
          [name],
          'section',
          this.#sections.map((each) => each.name),
        );
      if (!isTable(table))
        throw this.#fault([name], `${name} is a section: write [${name}] above its options`);
      return Object.entries(table).map(([key, value]) => this.#setting(section, key, value));
    });
  }

  #setting({ name, options }: Section, key: string, value: unknown): Setting {
    const path = [name, key];
    const option = options.find((each) => each.key === key);
    if (option === undefined)
      throw this.#unknown(
        path,
        'option',
        options.map((each) => each.key),
      );
    const origin = { kind: 'file', path: this.#path, line: this.#lineOf(path) } as const;
    return { section: name, key, texts: this.#textsOf(option, path, value), origin };
  }

  #textsOf(option: ConfigurableOption, path: readonly string[], value: unknown): string[] {
    const key = path.at(-1) as string;
    if (isSwitch(option)) {
      if (typeof value === 'boolean') return [String(value)];
      throw this.#fault(path, `${key} is true or false`, 'BAD_SETTING');
    }
    if (isRepeatable(option)) {
      if (!isTable(value)) throw this.#fault(path, `${key} is a table of names and values`, 'BAD_SETTING');
      return Object.entries(value).map(
        ([name, each]) => `${name}=${this.#scalar([...path, name], each, 'a text, a number, true or false')}`,
      );
    }
    if (isList(option) && Array.isArray(value)) {
      return [value.map((each) => this.#scalar(path, each, 'a list of texts')).join(',')];
    }
    if (typeof value === 'boolean') throw this.#fault(path, `${key} is a text or a number`, 'BAD_SETTING');
    const text = this.#scalar(path, value, 'a text or a number');
    return [isPath(option) ? resolve(dirname(this.#path), text) : text];
  }

  #scalar(path: readonly string[], value: unknown, wanted: string): string {
    if (typeof value === 'string') return value;
    if (typeof value === 'number' || typeof value === 'boolean') return String(value);
    throw this.#fault(path, `${path.at(-1)} is ${wanted}`, 'BAD_SETTING');
  }

  #unknown(path: readonly string[], noun: string, known: readonly string[]): BadRequestError {
    const name = path.at(-1) as string;
    const where = path.length > 1 ? ` in [${path[0]}]` : '';
    const reason = `there is no ${noun} “${name}”${where}${didYouMean(name, known)}`;
    return this.#fault(path, reason, 'UNKNOWN_SETTING');
  }

  #fault(path: readonly string[], reason: string, code?: string): BadRequestError {
    return fault(this.#path, this.#lineOf(path), reason, code);
  }

  /** Of a section without anything, or of what a dotted name begins: the first line of what is in it. */
  #lineOf(path: readonly string[]): number {
    const prefix = lineKey([...path, '']);
    const within = [...this.#lines].find(([key]) => key.startsWith(prefix))?.[1];
    return this.#lines.get(lineKey(path)) ?? within ?? 1;
  }
}
