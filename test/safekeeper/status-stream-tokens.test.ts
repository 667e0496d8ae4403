import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { StatusKey, TimelineState } from '../../src/contracts/status-stream.ts';
import type { TokenClaims } from '../../src/contracts/token.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { CollectingLogger } from '../../src/observe/log.ts';
import { StatusClient } from '../../src/status/status-client.ts';
import {
  makeTokenKeys,
  newTimeline,
  OTHER_TENANT,
  signal,
  TENANT,
  TestSafekeeper,
  TIMELINE,
} from './running-safekeeper.ts';

const OWN = { tenantId: TENANT, timelineId: TIMELINE };
const OTHERS = { tenantId: OTHER_TENANT, timelineId: TIMELINE };

test('a tenant’s token sees its own timelines, a safekeeper’s token all, and others nothing', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'varve-status-tokens-'));
  try {
    const { publicKeyPem, signer } = await makeTokenKeys();
    const keyPath = join(directory, 'tokens.pem');
    writeFileSync(keyPath, publicKeyPem);
    await using safekeeper = await TestSafekeeper.start({ pgTokenKeysPath: keyPath });
    for (const tenant_id of [TENANT, OTHER_TENANT]) {
      await safekeeper.client().createTimeline(newTimeline({ tenant_id }), signal());
    }
    /** What comes first: a state, or why there is none. */
    const follow = async (claims: TokenClaims, keys: StatusKey[], inCommonWith?: number): Promise<string> => {
      const logger = new CollectingLogger();
      const life = new AbortController();
      const told: TimelineState[] = [];
      const client = new StatusClient({
        sockets: nodeSockets((error) => {
          throw error;
        }),
        clock: nodeClock,
        random: nodeRandom,
        logger,
        address: safekeeper.service.addresses.pg,
        nodeId: 1,
        applicationName: 'pageserver-1',
        password: () => signer.sign(claims),
        onStates: (states) => void told.push(...states),
        ...(inCommonWith === undefined ? {} : { inCommonWith }),
      });
      client.add(keys);
      const running = client.run(life.signal);
      const outcome = (): string | undefined =>
        logger.lines.length > 0
          ? String(logger.lines[0]?.fields['error'])
          : told.length === keys.length && told.length > 0
            ? told.map(({ tenantId }) => tenantId.slice(0, 2)).join()
            : undefined;
      await expect.poll(outcome, { timeout: 5000 }).toBeDefined();
      life.abort();
      await running;
      return outcome() ?? '';
    };
    const everything: TokenClaims = { scope: 'safekeeperdata' };
    const own: TokenClaims = { scope: 'tenant', tenantId: TENANT };
    expect(await follow(everything, [OWN, OTHERS])).toBe('11,22');
    expect(await follow(own, [OWN])).toBe('11');
    const refused = /a token of scope \w+ does not open this/;
    expect(await follow(own, [OTHERS])).toMatch(refused);
    expect(await follow(own, [], 2)).toMatch(refused);
    expect(await follow({ scope: 'pageserverapi' }, [OWN])).toMatch(refused);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
