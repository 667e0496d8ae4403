import { z } from 'zod';
import { isId } from '../base/ids.ts';

/** The values of the control plane's API that have rules of their own. */

const NAME_LENGTH_MAX = 63;
const NAME = /^[A-Za-z0-9_]([A-Za-z0-9._/+-]*[A-Za-z0-9_+-])?$/;
const OWN_ID = /^(br|ep|op)-[0-9a-f]{16}$/;

/**
 * What projects and branches are called. It is part of URLs, file names and connection strings, so that it has few kinds of
 * characters; and it is never taken for an id.
 */
export const nameSchema = z
  .string()
  .min(1)
  .max(NAME_LENGTH_MAX)
  .regex(NAME, 'a name has letters, digits and . _ / + - and begins and ends with none of . / -')
  .refine((name) => !isId(name) && !OWN_ID.test(name), 'this has the form of an id')
  .meta({ id: 'Name' });

/** An id or a name, where one of them is looked for: what is neither is not found. */
export const referenceSchema = z.string().min(1).max(NAME_LENGTH_MAX);

const ownIdSchema = (prefix: string) =>
  z
    .string()
    .regex(new RegExp(`^${prefix}-[0-9a-f]{16}$`))
    .meta({ id: `${{ br: 'Branch', ep: 'Endpoint', op: 'Operation' }[prefix] ?? ''}Id` });

export const branchIdSchema = ownIdSchema('br');
export const endpointIdSchema = ownIdSchema('ep');
export const operationIdSchema = ownIdSchema('op');

/** NAMEDATALEN - 1 */
const ROLE_BYTES_MAX = 63;

export const roleNameSchema = z
  .string()
  .min(1)
  .refine(
    (name) =>
      name.isWellFormed() && !name.includes('\0') && new TextEncoder().encode(name).length <= ROLE_BYTES_MAX,
    'this is no name of a role',
  )
  // IsReservedName (catalog.c), check_rolespec_name (acl.c).
  .refine(
    (name) => !name.startsWith('pg_') && name !== 'public' && name !== 'none',
    'PostgreSQL keeps this name for itself',
  )
  .meta({ id: 'RoleName' });

const PASSWORD_LENGTH_MAX = 256;

/** Of printable ASCII characters; never repeated in a message. */
export const passwordSchema = z
  .string()
  .min(1)
  .max(PASSWORD_LENGTH_MAX)
  .regex(/^[ -~]+$/, 'only passwords of printable ASCII characters are supported')
  .meta({ id: 'Password' });

export const portSchema = z.int().min(0).max(65_535);

const SETTING = /^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*$/;
const SETTINGS_MAX = 200;

/** Settings of a server, as PostgreSQL writes their values. */
export const serverSettingsSchema = z
  .record(
    z.string().regex(SETTING, 'this is no name of a setting'),
    z
      .string()
      .max(8192)
      .regex(/^[^\r\n\0]*$/, 'a value has a line break in it'),
  )
  .refine((settings) => Object.keys(settings).length <= SETTINGS_MAX, `${SETTINGS_MAX} settings at most`)
  .meta({ id: 'ServerSettings' });

/** A week: longer than anything idles on purpose. */
const SUSPEND_SECONDS_MAX = 7 * 24 * 3600;
export const suspendAfterSchema = z
  .int()
  .min(0)
  .max(SUSPEND_SECONDS_MAX)
  .describe('Seconds of idling after which the compute is suspended; 0: never');
