import { z } from 'zod';
import { VarveError } from '../base/errors.ts';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../base/ids.ts';

/** What a token is for. The names are those of Neon's tokens. */
export const SCOPES = [
  'tenant',
  'tenantendpoint',
  'pageserverapi',
  'safekeeperdata',
  'generations_api',
  'admin',
  'infra',
  'scrubber',
  'controller_peer',
] as const;

export type Scope = (typeof SCOPES)[number];

/** What a token says of its bearer. */
export interface TokenClaims {
  readonly scope: Scope;
  /** The one tenant that the scopes `tenant` and `tenantendpoint` are for. */
  readonly tenantId?: TenantId;
  /** Narrows these scopes further, to one timeline of the tenant. */
  readonly timelineId?: TimelineId;
  readonly endpointId?: string;
  /** Seconds since 1970-01-01 UTC from which the token is void. Checked where the token is verified. */
  readonly expiresAtS?: number;
}

const hexId = z.string().regex(/^[0-9a-fA-F]{32}$/);

const payloadSchema = z.object({
  scope: z.enum(SCOPES),
  tenant_id: hexId.nullish(),
  timeline_id: hexId.nullish(),
  endpoint_id: z.string().nullish(),
  exp: z.number().nullish(),
});

/**
 * Takes the claims from a token's payload, whose signature must have been verified. Claims that are not known are
 * passed over, as the standard of JSON web tokens demands.
 * @throws VarveError TOKEN_REFUSED for an unknown scope or a malformed claim.
 */
export function decodeClaims(payload: unknown): TokenClaims {
  const result = payloadSchema.safeParse(payload);
  if (!result.success) {
    throw tokenRefused(
      `the token's claims are malformed: ${result.error.issues.map(({ path }) => path.join('.')).join(', ')}`,
    );
  }
  const { scope, tenant_id, timeline_id, endpoint_id, exp } = result.data;
  return {
    scope,
    ...(typeof tenant_id === 'string' ? { tenantId: parseTenantId(tenant_id) } : {}),
    ...(typeof timeline_id === 'string' ? { timelineId: parseTimelineId(timeline_id) } : {}),
    ...(typeof endpoint_id === 'string' ? { endpointId: endpoint_id } : {}),
    ...(typeof exp === 'number' ? { expiresAtS: exp } : {}),
  };
}

/** The payload of a token with these claims. */
export function encodeClaims(claims: TokenClaims): Record<string, string | number> {
  const { scope, tenantId, timelineId, endpointId, expiresAtS } = claims;
  return {
    scope,
    ...(tenantId === undefined ? {} : { tenant_id: tenantId }),
    ...(timelineId === undefined ? {} : { timeline_id: timelineId }),
    ...(endpointId === undefined ? {} : { endpoint_id: endpointId }),
    ...(expiresAtS === undefined ? {} : { exp: expiresAtS }),
  };
}

/** A place where a token is asked for. */
export type Gate = 'safekeeper' | 'safekeeper-tenant-only' | 'pageserver' | 'control' | 'control-upcall';

/** What is asked for behind a gate: something of a timeline, of a tenant, or (neither is set) of the whole service. */
export interface Resource {
  readonly tenantId?: TenantId;
  readonly timelineId?: TimelineId;
}

/** What is not of one tenant alone, or is no tenant's business. */
export const WHOLE_SERVICE: Resource = {};

interface GateScopes {
  /** Scopes that open everything. */
  readonly everything: readonly Scope[];
  /** Scopes that open what is of the claim's own tenant, and, if the claim names one, of its timeline. */
  readonly ownTenant: readonly Scope[];
}

const SCOPES_OF_GATE: Readonly<Record<Gate, GateScopes>> = {
  safekeeper: { everything: ['safekeeperdata'], ownTenant: ['tenant'] },
  'safekeeper-tenant-only': { everything: [], ownTenant: ['tenant'] },
  pageserver: { everything: ['pageserverapi'], ownTenant: ['tenant'] },
  control: { everything: ['admin'], ownTenant: [] },
  'control-upcall': { everything: ['generations_api', 'admin'], ownTenant: [] },
};

/**
 * Refuses a bearer whose token does not open a resource.
 * @throws VarveError SCOPE_REFUSED
 */
export function checkAccess(gate: Gate, claims: TokenClaims, resource: Resource): void {
  const { everything, ownTenant } = SCOPES_OF_GATE[gate];
  if (everything.includes(claims.scope)) return;
  if (ownTenant.includes(claims.scope) && isOwn(claims, resource)) return;
  throw new VarveError(
    'precondition',
    'SCOPE_REFUSED',
    `a token of scope ${claims.scope} does not open this: it is for another scope, tenant or timeline`,
  );
}

function isOwn(claims: TokenClaims, resource: Resource): boolean {
  if (claims.tenantId === undefined || claims.tenantId !== resource.tenantId) return false;
  return claims.timelineId === undefined || claims.timelineId === resource.timelineId;
}

/** The token is none that this service believes. */
export function tokenRefused(reason: string, cause?: unknown): VarveError {
  return new VarveError('precondition', 'TOKEN_REFUSED', reason, {}, cause);
}
