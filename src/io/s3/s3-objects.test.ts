import { randomUUID } from 'node:crypto';
import { afterAll } from 'vitest';
import { describeObjects } from '../../../test/conformance/objects.ts';
import { runForReal } from '../../../test/conformance/world.ts';
import { S3_CREDENTIALS, startS3Server } from '../../../test/support/s3-server.ts';
import { nodeClock } from '../node/clock.ts';
import { nodeRandom } from '../node/random.ts';
import { openS3Objects } from './open.ts';

const server = await startS3Server();
afterAll(() => server[Symbol.asyncDispose]());

describeObjects('S3', async () => {
  const { endpoint, bucket } = server;
  const location = {
    kind: 's3',
    bucket,
    prefix: randomUUID(),
    endpoint,
    region: undefined,
    isPathStyle: true,
  } as const;
  const store = await openS3Objects(location, {
    clock: nodeClock,
    random: nodeRandom,
    credentials: S3_CREDENTIALS,
  });
  return { store, run: runForReal, [Symbol.asyncDispose]: async () => store.close() };
});
