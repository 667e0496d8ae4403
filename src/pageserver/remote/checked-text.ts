/**
 * The frame of the texts that this part writes: a line with name, version, CRC-32C and length of what follows it, so
 * that what is torn, damaged or of another version is told from what is whole.
 */
import { z } from 'zod';
import { crc32c } from '../../base/crc32c.ts';
import { CorruptionError, VarveError } from '../../base/errors.ts';
import { formatLsn, parseLsn } from '../../base/lsn.ts';

export interface TextFormat {
  /** The first word of the text. */
  readonly name: string;
  readonly version: number;
  /** Of those that are read, too. */
  readonly olderVersions?: readonly number[];
  /** Code of the error where a text is damaged. */
  readonly errorCode: string;
  /** With the first line. */
  readonly bytesMax: number;
}

const FIRST_LINE_BYTES_MAX = 128;
const LINE_FEED = 10;
const FIRST_LINE = /^([a-z-]{1,64}) ([0-9]{1,9}) ([0-9a-f]{8}) ([0-9]{1,15})$/;

/** The first line, with its line feed. */
export const firstLine = ({ name, version }: TextFormat, crc: number, lengthBytes: number): Uint8Array =>
  new TextEncoder().encode(`${name} ${version} ${crc.toString(16).padStart(8, '0')} ${lengthBytes}\n`);

export interface TextFrame {
  readonly version: number;
  /** Offset of what follows the first line. */
  readonly start: number;
  /** What its CRC must be. */
  readonly crc: number;
}

/**
 * Reads the first line, without looking at what follows.
 * @param file path or key, for the error
 * @throws CorruptionError; VarveError ‘precondition’ / UNKNOWN_FORMAT_VERSION
 */
export function decodeFrame(format: TextFormat, bytes: Uint8Array, file: string): TextFrame {
  const damaged = (reason: string): CorruptionError =>
    new CorruptionError(format.errorCode, reason, { file });
  if (bytes.length > format.bytesMax) throw damaged(`${bytes.length} bytes are too many`);
  const length = bytes.subarray(0, FIRST_LINE_BYTES_MAX).indexOf(LINE_FEED);
  const line = new TextDecoder('latin1').decode(bytes.subarray(0, Math.max(length, 0)));
  const match = FIRST_LINE.exec(line);
  if (match === null || match[1] !== format.name)
    throw damaged(`this does not begin as a ${format.name} does`);
  const version = Number(match[2]);
  if (version !== format.version && format.olderVersions?.includes(version) !== true) {
    throw new VarveError(
      'precondition',
      'UNKNOWN_FORMAT_VERSION',
      `this is a ${format.name} of version ${match[2]}, and this program knows version ${format.version}`,
      { file },
    );
  }
  const start = length + 1;
  if (bytes.length - start !== Number(match[4])) {
    throw damaged(`${bytes.length - start} bytes follow the first line, ${match[4]} should`);
  }
  return { version, start, crc: Number.parseInt(match[3] as string, 16) };
}

/** A small value as a text, in one piece. */
export function encodeCheckedJson(format: TextFormat, value: unknown): Uint8Array {
  const body = new TextEncoder().encode(`${JSON.stringify(value, undefined, 2)}\n`);
  const first = firstLine(format, crc32c(body), body.length);
  const bytes = new Uint8Array(first.length + body.length);
  bytes.set(first);
  bytes.set(body, first.length);
  return bytes;
}

/** What `encodeCheckedJson` has written. @throws as decodeFrame */
export function decodeCheckedJson<Schema extends z.ZodType>(
  format: TextFormat,
  schema: Schema,
  bytes: Uint8Array,
  file: string,
): z.output<Schema> {
  const { start, crc } = decodeFrame(format, bytes, file);
  if (crc32c(bytes, start) !== crc) throw new CorruptionError(format.errorCode, 'the CRC is wrong', { file });
  return decodeJson(format, schema, bytes.subarray(start), file);
}

/** @throws CorruptionError where this is not JSON in UTF-8, or not of this schema */
export function decodeJson<Schema extends z.ZodType>(
  format: TextFormat,
  schema: Schema,
  bytes: Uint8Array,
  file: string,
): z.output<Schema> {
  try {
    return schema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch (error) {
    const isExpected =
      error instanceof z.ZodError ||
      error instanceof SyntaxError ||
      error instanceof TypeError ||
      (error instanceof VarveError && error.kind === 'bad-request');
    if (!isExpected) throw error;
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : error.message;
    throw new CorruptionError(format.errorCode, reason, { file }, error);
  }
}

/** Whole numbers from 0 on. */
export const countSchema: z.ZodType<number, number> = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
/** `HI/LO`, in the one form that `formatLsn` gives. */
export const lsnSchema = z
  .string()
  .transform((text) => parseLsn(text))
  .pipe(z.custom<ReturnType<typeof parseLsn>>());
/** An unsigned number of 64 bits, in decimal. */
export const u64Schema = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,19})$/)
  .transform((text) => BigInt(text))
  .refine((value) => value <= 0xffff_ffff_ffff_ffffn, 'no number of 64 bits');

export const lsnText = (lsn: number): string => formatLsn(lsn);
