import { BadRequestError } from '../base/errors.ts';

/**
 * JSON whose whole numbers are exact: those beyond 2^53 are bigints. A server's system identifier is such a number,
 * and other programs write and read it as a plain JSON number.
 */
interface ExactJson {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { source: string }) => unknown,
  ): unknown;
  rawJSON(text: string): object;
}

const exactJson = JSON as unknown as ExactJson;

/** @throws BadRequestError MALFORMED_JSON */
export function parseExactJson(text: string): unknown {
  try {
    return exactJson.parse(text, (_, value, context) =>
      typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context.source)
        ? BigInt(context.source)
        : value,
    );
  } catch (error) {
    // A SyntaxError, or a RangeError where it is nested too deeply.
    throw new BadRequestError('MALFORMED_JSON', 'this is not JSON', {}, error);
  }
}

/** undefined is written as null, which is what an answer without content is. */
export function formatExactJson(value: unknown): string {
  return (
    JSON.stringify(value, (_, member: unknown) =>
      typeof member === 'bigint' ? exactJson.rawJSON(member.toString()) : member,
    ) ?? 'null'
  );
}
