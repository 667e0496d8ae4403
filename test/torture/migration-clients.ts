import { setTimeout as delay } from 'node:timers/promises';
import { VarveError } from '../../src/base/errors.ts';
import type { TenantId, TimelineId } from '../../src/base/ids.ts';
import { connectPageService } from '../../src/page-client/connect-page-service.ts';
import { PageClient } from '../../src/page-client/page-client.ts';
import type { ModelTimeline } from '../engine/model-timeline.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import type { MigrationNode } from './migration-node.ts';
import { checkOne, doors, fillPipe, type PageFindings } from './page-readers.ts';
import { within } from './within.ts';

const TIMEOUT_MS = 30_000;
const RETRY_MS = 20;
const DEPTH = 8;

/** Where computes are told that a tenant is. */
export interface MigratedTenant {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly model: ModelTimeline;
  at: MigrationNode;
}

export interface MigrationClient {
  readonly tenant: MigratedTenant;
  readonly findings: PageFindings;
  readonly random: SeededRandom;
  readonly signal: AbortSignal;
  /** Requests that were made again. */
  retries: number;
}

const placeOf = ({ tenant }: MigrationClient) => ({
  tenantId: tenant.tenantId,
  timelineId: tenant.timelineId,
  address: { host: '127.0.0.1', port: tenant.at.port },
  connectTimeoutMs: TIMEOUT_MS,
  signal: new AbortController().signal,
});

/** Reads until it is told to stop. What fails is asked again, of whoever has the tenant then, until it is answered. */
export async function readMigrating(client: MigrationClient): Promise<void> {
  const { signal, findings, random } = client;
  while (!signal.aborted) {
    const seeds = Array.from({ length: 1 + random.below(DEPTH) }, () => random.next());
    try {
      await within(TIMEOUT_MS, 'retries do not hide an error', askUntilAnswered(client, seeds));
    } catch (error) {
      findings.stuck.push(`a reader: ${error}`);
      return;
    }
  }
}

/** @param seeds each stands for one request */
async function askUntilAnswered(client: MigrationClient, seeds: readonly number[]): Promise<void> {
  const { tenant, findings } = client;
  for (let left = seeds; left.length > 0; ) {
    const asked = left;
    const answered = new Set<number>();
    try {
      await using pages = await PageClient.connect(doors, placeOf(client));
      await Promise.all(
        asked.map(async (seed) => {
          await checkOne({ findings, random: new SeededRandom(seed) }, pages, tenant);
          answered.add(seed);
        }),
      );
    } catch (error) {
      if (!(error instanceof VarveError)) throw error;
      await delay(RETRY_MS);
    }
    left = asked.filter((seed) => !answered.has(seed));
    client.retries += left.length;
  }
}

/** Asks for pages and never reads an answer, one connection after another. */
export async function neverReadMigrating(client: MigrationClient): Promise<void> {
  const { tenant, signal, findings } = client;
  while (!signal.aborted) {
    try {
      const connection = await connectPageService(doors, placeOf(client));
      try {
        await fillPipe(client, tenant, connection);
      } finally {
        await within(TIMEOUT_MS, 'a connection that is closed stays', connection.close());
      }
    } catch (error) {
      if (!(error instanceof VarveError)) {
        findings.stuck.push(`one that never reads: ${error}`);
        return;
      }
      await delay(RETRY_MS);
    }
  }
}
