import { BadRequestError } from '../../src/base/errors.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { type Logger, silentLogger } from '../../src/observe/log.ts';
import { Metrics } from '../../src/observe/metrics.ts';
import { PAGE_SERVICE_BODY_BYTES_MAX, PageserverCommands } from '../../src/pageserver/front-door/commands.ts';
import { PageFrontDoor } from '../../src/pageserver/front-door/front-door.ts';
import { PageServiceMetrics } from '../../src/pageserver/page-service/page-service-metrics.ts';
import type { PageStorage } from '../../src/pageserver/storage.ts';
import type { TimelineAccess } from '../../src/pageserver/timeline-access.ts';

/** A page service, at a port of its own. */
export interface ServedPages {
  readonly port: number;
  readonly door: PageFrontDoor;
}

/**
 * Puts the page service in front of a storage engine, without the rest of a pageserver: it copies nothing out.
 * @param access without it nobody waits for a tenant that is being attached
 */
export async function servePages(
  storage: PageStorage,
  logger: Logger = silentLogger,
  access: TimelineAccess = {
    timeline: async (tenantId, timelineId) => storage.tenant(tenantId).timeline(timelineId),
  },
): Promise<ServedPages> {
  const refuse = (): never => {
    throw new BadRequestError('NOT_SERVED', 'nothing is copied out here');
  };
  const door = await PageFrontDoor.open({
    address: { host: '127.0.0.1', port: 0 },
    bodyBytesMax: PAGE_SERVICE_BODY_BYTES_MAX,
    verifier: undefined,
    identity: undefined,
    handler: new PageserverCommands({
      access,
      streamBackup: refuse,
      streamStartSet: refuse,
      clock: nodeClock,
      logger,
      metrics: new PageServiceMetrics(new Metrics(nodeClock)),
    }),
    sockets: nodeSockets((error) => {
      throw error;
    }),
    clock: nodeClock,
    logger,
  });
  return { port: (door.address as { port: number }).port, door };
}
