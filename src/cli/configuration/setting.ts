/** Where a value comes from. */
export type Origin =
  | { readonly kind: 'flag' }
  | { readonly kind: 'environment'; readonly variable: string }
  | { readonly kind: 'file'; readonly path: string; readonly line: number }
  | { readonly kind: 'default' };

/** What somebody has set. */
export interface Setting {
  readonly section: string;
  readonly key: string;
  /** As on the command line; several where the option may be given again and again. */
  readonly texts: readonly string[];
  readonly origin: Origin;
}

export function originText(origin: Origin): string {
  if (origin.kind === 'environment') return `environment, ${origin.variable}`;
  return origin.kind === 'file' ? `${origin.path}:${origin.line}` : origin.kind;
}

const URL_PASSWORD = /(:\/\/[^:/?#\s]*:).*@/g;
const NAMED_PASSWORD = /(password\s*=\s*)('[^']*'|[^&\s]+)/gi;

/** A value as it may be shown: the passwords of connection strings are left out. */
export const maskSecrets = (text: string): string =>
  text.replace(URL_PASSWORD, '$1***@').replace(NAMED_PASSWORD, '$1***');
