import { z } from 'zod';
import { BadRequestError, VarveError } from '../base/errors.ts';
import { findNearestName } from '../base/nearest-name.ts';
import { deriveScramSecret, parseScramSecret } from '../postgres/wire/scram.ts';
import { checkSetting, quoteLibrary, SUPERUSER } from './setting-rules.ts';

/** NAMEDATALEN - 1 */
const NAME_BYTES_MAX = 63;
const CONNECTIONS_MAX = 0x3ffff;
const ISSUES_SHOWN_MAX = 5;

type Refuse = (message: string) => void;

/** A text that something else has rules for. */
const checkedText = (check: (text: string, refuse: Refuse) => void) =>
  z.string().superRefine((text, context) => {
    check(text, (message) => context.addIssue({ code: 'custom', message }));
  });

const name = checkedText((text, refuse) => {
  if (text === '') refuse('a name is empty');
  else if (Buffer.byteLength(text) > NAME_BYTES_MAX) refuse(`a name has more than ${NAME_BYTES_MAX} bytes`);
  else if (text.includes('\0') || !text.isWellFormed()) refuse('this is no name');
});

const roleName = name.superRefine((text, context) => {
  // IsReservedName (catalog.c), check_rolespec_name (acl.c).
  if (text.startsWith('pg_') || text === 'public' || text === 'none') {
    context.addIssue({ code: 'custom', message: `PostgreSQL keeps the name “${text}” for itself` });
  }
});

/** Never repeated in a message. */
const password = checkedText((text, refuse) => {
  if (text === '') refuse('a password is empty');
  else if (/^md5[0-9a-f]{32}$/.test(text)) refuse('this is an MD5 hash: give the text, or a SCRAM secret');
  else if (text.startsWith('SCRAM-SHA-256$')) whyRefused(() => parseScramSecret(text), refuse);
  // What it cannot be derived of is known before a server runs.
  else whyRefused(() => deriveScramSecret(text, new Uint8Array(1), 1), refuse);
});

const roleSchema = z.strictObject({
  name: roleName,
  /** null: the role has none. Without it the password stays as it is. */
  password: password.nullable().optional(),
  login: z.boolean().optional(),
  superuser: z.boolean().optional(),
  createdb: z.boolean().optional(),
  createrole: z.boolean().optional(),
  replication: z.boolean().optional(),
  bypassrls: z.boolean().optional(),
  /** -1: as many as the server has. */
  connectionLimit: z.int().min(-1).max(CONNECTIONS_MAX).optional(),
  validUntil: z.union([z.literal('infinity'), z.iso.datetime({ offset: true })]).optional(),
  memberOf: z.array(name).optional(),
});

const databaseSchema = z.strictObject({ name, owner: name.optional() });

const tlsSchema = z.strictObject({ certificate: z.string().min(1), key: z.string().min(1) });

const line = checkedText((text, refuse) => {
  if (/[\r\n\0]/.test(text)) refuse('a line has a line break in it');
});

const library = checkedText((text, refuse) => {
  if (text.trim() === '' || /[\r\n\0]/.test(text)) refuse('this is no name of a library');
});

const settingsSchema = z
  .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
  .transform((settings) =>
    Object.fromEntries(Object.entries(settings).map(([key, value]) => [key, settingText(value)])),
  )
  .superRefine((settings, context) => {
    for (const [key, value] of Object.entries(settings)) {
      whyRefused(
        () => checkSetting(key, value),
        (message) => context.addIssue({ code: 'custom', path: [key], message }),
      );
    }
  });

const specSchema = z.strictObject({
  settings: settingsSchema.default({}),
  hostBasedAuthentication: z.array(line).optional(),
  roles: z.array(roleSchema).default([]),
  databases: z.array(databaseSchema).default([]),
  tls: tlsSchema.optional(),
  sharedPreloadLibraries: z.array(library).optional(),
});

/** A role of a branch. What is not named stays as it is; a new role has it as CREATE ROLE does. */
export type RoleSpec = z.output<typeof roleSchema>;
export type DatabaseSpec = z.output<typeof databaseSchema>;
/** PEM, or paths of files with it, which are read anew at each start. */
export type TlsSpec = z.output<typeof tlsSchema>;

/** What somebody wants of a server, beside its branch and its storage. */
export interface ComputeSpec {
  /** As PostgreSQL writes their values. */
  readonly settings: Readonly<Record<string, string>>;
  /** Lines of pg_hba.conf. */
  readonly hostBasedAuthentication?: string;
  readonly roles: readonly RoleSpec[];
  readonly databases: readonly DatabaseSpec[];
  readonly tls?: TlsSpec;
}

/**
 * Reads a spec.
 * @param text JSON
 * @throws BadRequestError BAD_SPEC, which names the fields
 */
export function parseComputeSpec(text: string): ComputeSpec {
  const result = specSchema.safeParse(parseJson(text));
  if (!result.success) throw badSpec(result.error.issues.flatMap(describeIssue));
  const spec = result.data;
  const problems = [...problemsOfRoles(spec.roles), ...repeatedNames('databases', spec.databases)];
  const { hostBasedAuthentication, sharedPreloadLibraries, tls } = spec;
  const settings: Record<string, string> = { ...spec.settings };
  if (sharedPreloadLibraries !== undefined) {
    if (Object.keys(settings).some((key) => key.toLowerCase() === 'shared_preload_libraries')) {
      problems.push('sharedPreloadLibraries: the setting shared_preload_libraries is given, too');
    }
    settings['shared_preload_libraries'] = sharedPreloadLibraries.map(quoteLibrary).join(', ');
  }
  if (problems.length > 0) throw badSpec(problems);
  return {
    settings,
    roles: spec.roles,
    databases: spec.databases,
    ...(hostBasedAuthentication === undefined
      ? {}
      : { hostBasedAuthentication: hostBasedAuthentication.join('\n') }),
    ...(tls === undefined ? {} : { tls }),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // Its message quotes the text, and there are passwords in that.
    const [place = ''] = /(at|in) (position \d+|line \d+).*$/.exec((error as Error).message) ?? [];
    throw new BadRequestError('BAD_SPEC', `this is no JSON ${place}`.trim());
  }
}

function settingText(value: string | number | boolean): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return String(value);
}

function problemsOfRoles(roles: readonly RoleSpec[]): string[] {
  const problems = repeatedNames('roles', roles);
  for (const [index, { name: role, login, superuser }] of roles.entries()) {
    if (role !== SUPERUSER || (login !== false && superuser !== false)) continue;
    problems.push(`roles.${index}: the compute itself works as ${SUPERUSER}, a superuser that may log in`);
  }
  return problems;
}

function repeatedNames(path: string, items: readonly { readonly name: string }[]): string[] {
  const seen = new Set<string>();
  const problems: string[] = [];
  for (const [index, item] of items.entries()) {
    if (seen.has(item.name)) problems.push(`${path}.${index}.name: “${item.name}” is there twice`);
    seen.add(item.name);
  }
  return problems;
}

function describeIssue(issue: z.core.$ZodIssue): string[] {
  if (issue.code !== 'unrecognized_keys') return [at(issue.path, issue.message)];
  const known = keysAt(issue.path);
  return issue.keys.map((key) => {
    const nearest = findNearestName(key, known);
    const meant = nearest === undefined ? '' : `; did you mean “${nearest}”?`;
    return at([...issue.path, key], `there is no such field${meant}`);
  });
}

function keysAt([first]: readonly PropertyKey[]): string[] {
  if (first === 'roles') return Object.keys(roleSchema.shape);
  if (first === 'databases') return Object.keys(databaseSchema.shape);
  if (first === 'tls') return Object.keys(tlsSchema.shape);
  return Object.keys(specSchema.shape);
}

const at = (path: readonly PropertyKey[], message: string): string =>
  path.length === 0 ? message : `${path.map(String).join('.')}: ${message}`;

function badSpec(problems: readonly string[]): BadRequestError {
  const shown = problems.slice(0, ISSUES_SHOWN_MAX).join('; ');
  return new BadRequestError('BAD_SPEC', `the spec is wrong: ${shown}`);
}

function whyRefused(action: () => unknown, refuse: Refuse): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof VarveError)) throw error;
    refuse(error.reason);
  }
}
