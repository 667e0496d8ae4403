import { PROBLEM_TYPE } from './error-response.ts';

interface Wish {
  readonly type: string;
  readonly quality: number;
}

/** The media ranges of a header `Accept` with their qualities (RFC 9110, 12.5.1). What is malformed counts for nothing. */
function parseAccept(header: string | undefined): Wish[] {
  if (header === undefined) return [];
  return header.split(',').map((part) => {
    const [type = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase());
    const quality = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
    const value = quality === undefined ? 1 : Number(quality);
    return { type, quality: value >= 0 && value <= 1 ? value : 0 };
  });
}

function qualityOf(wishes: readonly Wish[], type: string): number {
  const group = `${type.slice(0, type.indexOf('/'))}/*`;
  // The most specific one that fits says it.
  for (const range of [type, group, '*/*']) {
    const wish = wishes.find((candidate) => candidate.type === range);
    if (wish !== undefined) return wish.quality;
  }
  return 0;
}

/** The type that is wanted most; the first one where none is wanted, or several alike. */
export function preferredType(header: string | undefined, types: readonly string[]): string {
  const wishes = parseAccept(header);
  let best = types[0] as string;
  for (const type of types) {
    if (qualityOf(wishes, type) > qualityOf(wishes, best)) best = type;
  }
  return best;
}

/** Whether errors may call themselves problem details: only where that is asked for by name, since Neon's clients do not. */
export function acceptsProblem(header: string | undefined): boolean {
  return parseAccept(header).some(({ type, quality }) => type === PROBLEM_TYPE && quality > 0);
}
