import { expect, test } from 'vitest';
import { parseTenantId, parseTimelineId } from '../base/ids.ts';
import { checkAccess, decodeClaims, encodeClaims, type Gate, type Resource, SCOPES } from './token.ts';

const tenantId = parseTenantId('11111111111111111111111111111111');
const otherTenantId = parseTenantId('22222222222222222222222222222222');
const timelineId = parseTimelineId('33333333333333333333333333333333');
const otherTimelineId = parseTimelineId('44444444444444444444444444444444');

const RESOURCES: Readonly<Record<string, Resource>> = {
  'the whole service': {},
  'own tenant': { tenantId },
  'own timeline': { tenantId, timelineId },
  'other timeline': { tenantId, timelineId: otherTimelineId },
  'other tenant': { tenantId: otherTenantId, timelineId },
};

/** What of it a claim opens. */
function opened(gate: Gate, claims: Parameters<typeof checkAccess>[1]): string[] {
  return Object.keys(RESOURCES).filter((name) => {
    try {
      checkAccess(gate, claims, RESOURCES[name] as Resource);
      return true;
    } catch (error) {
      expect(error).toMatchObject({ kind: 'precondition', code: 'SCOPE_REFUSED' });
      return false;
    }
  });
}

const ALL = Object.keys(RESOURCES);
const OWN_TENANT = ['own tenant', 'own timeline', 'other timeline'];

test.each(SCOPES)('scope %s opens what the table says', (scope) => {
  const expected = { tenant: OWN_TENANT, safekeeperdata: ALL }[scope as string] ?? [];
  expect(opened('safekeeper', { scope, tenantId })).toEqual(expected);
  expect(opened('safekeeper-tenant-only', { scope, tenantId })).toEqual(scope === 'tenant' ? OWN_TENANT : []);
});

test('a tenant token without a tenant opens nothing', () => {
  expect(opened('safekeeper', { scope: 'tenant' })).toEqual([]);
});

test('a tenant token that names a timeline opens this one only', () => {
  expect(opened('safekeeper', { scope: 'tenant', tenantId, timelineId })).toEqual(['own timeline']);
});

test('claims survive encoding, and ids are normalised', () => {
  const claims = { scope: 'tenant', tenantId, timelineId, endpointId: 'ep-1', expiresAtS: 5 } as const;
  expect(decodeClaims(encodeClaims(claims))).toEqual(claims);
  expect(decodeClaims({ scope: 'tenant', tenant_id: 'AB'.repeat(16) })).toEqual({
    scope: 'tenant',
    tenantId: 'ab'.repeat(16),
  });
});

test.each([
  ['no object', 'x'],
  ['no scope', {}],
  ['an unknown scope', { scope: 'root' }],
  ['a short tenant', { scope: 'tenant', tenant_id: 'ab' }],
  ['a tenant that is a number', { scope: 'tenant', tenant_id: 5 }],
])('%s is refused', (_, payload) => {
  expect(() => decodeClaims(payload)).toThrow(expect.objectContaining({ code: 'TOKEN_REFUSED' }));
});
