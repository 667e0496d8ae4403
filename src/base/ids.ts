import { BadRequestError } from './errors.ts';

declare const tenantBrand: unique symbol;
declare const timelineBrand: unique symbol;

/** A tenant: 16 bytes, written as 32 lower-case hexadecimal digits. */
export type TenantId = string & { readonly [tenantBrand]: true };
/** A timeline of a tenant, written likewise. */
export type TimelineId = string & { readonly [timelineBrand]: true };

/** Whether it is an id as we write it: 32 lower-case hexadecimal digits. */
export const isId = (text: string): boolean => /^[0-9a-f]{32}$/.test(text);

function checkId(kind: string, text: string): string {
  const id = text.toLowerCase();
  if (!isId(id)) {
    throw new BadRequestError('BAD_ID', `"${text}" is no ${kind} id: 32 hexadecimal digits are`);
  }
  return id;
}

/** Takes upper-case digits too. Throws BadRequestError for anything but 32 hexadecimal digits. */
export function parseTenantId(text: string): TenantId {
  return checkId('tenant', text) as TenantId;
}

/** As parseTenantId. */
export function parseTimelineId(text: string): TimelineId {
  return checkId('timeline', text) as TimelineId;
}
