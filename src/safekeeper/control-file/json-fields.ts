import { BadRequestError } from '../../base/errors.ts';
import { type Lsn, parseLsn } from '../../base/lsn.ts';

/** Why a control file is refused; `decodeControlFile` makes a CorruptionError of it. */
export function refuse(reason: string): never {
  throw new BadRequestError('BAD_CONTROL_FILE', reason);
}

/** Takes the fields out of an object of parsed JSON: all of them, and no others. */
export class JsonFields {
  readonly #fields: Record<string, unknown>;
  readonly #path: string;

  constructor(value: unknown, path: string, names: readonly string[]) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(`${path} is no object`);
    const found = Object.keys(value);
    const unknown = found.find((name) => !names.includes(name));
    if (unknown !== undefined) refuse(`${path} has an unknown field ${JSON.stringify(unknown)}`);
    const missing = names.find((name) => !found.includes(name));
    if (missing !== undefined) refuse(`${path} has no field ${missing}`);
    this.#fields = value as Record<string, unknown>;
    this.#path = path;
  }

  text(name: string): string {
    const value = this.#fields[name];
    if (typeof value !== 'string') refuse(`${this.#path}.${name} is no string`);
    return value;
  }

  /** A whole number from 0 to `max`. */
  count(name: string, max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#fields[name];
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > max) {
      refuse(`${this.#path}.${name} is no whole number from 0 to ${max}`);
    }
    return value;
  }

  lsn(name: string): Lsn {
    return parseLsn(this.text(name));
  }

  /** A number of 64 bits, as a decimal string. */
  u64(name: string): bigint {
    const text = this.text(name);
    const value = /^(0|[1-9][0-9]{0,19})$/.test(text) ? BigInt(text) : -1n;
    if (value < 0n || value > 0xffff_ffff_ffff_ffffn) refuse(`${this.#path}.${name} is no number of 64 bits`);
    return value;
  }

  isNull(name: string): boolean {
    return this.#fields[name] === null;
  }

  object(name: string, names: readonly string[]): JsonFields {
    return new JsonFields(this.#fields[name], `${this.#path}.${name}`, names);
  }

  /** The list's items, each an object with these fields. */
  objects(name: string, names: readonly string[]): JsonFields[] {
    const value = this.#fields[name];
    if (!Array.isArray(value)) refuse(`${this.#path}.${name} is no list`);
    return value.map((item, index) => new JsonFields(item, `${this.#path}.${name}[${index}]`, names));
  }
}
