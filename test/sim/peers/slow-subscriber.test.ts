import { expect, test } from 'vitest';
import { parseTimelineId } from '../../../src/base/ids.ts';
import { INVALID_LSN, type Lsn, toLsn } from '../../../src/base/lsn.ts';
import { NO_MEMBERSHIP } from '../../../src/contracts/membership.ts';
import {
  decodeStatusNews,
  encodeStatusRequest,
  type StatusKey,
  type StatusNews,
} from '../../../src/contracts/status-stream.ts';
import type { CopyReceiver } from '../../../src/libpq/copy-stream.ts';
import { silentLogger } from '../../../src/observe/log.ts';
import { StatusBoard } from '../../../src/safekeeper/peers/status-board.ts';
import { StatusStream } from '../../../src/safekeeper/peers/status-server.ts';
import { FeedbackChannel } from '../../../src/safekeeper/receive/feedback-channel.ts';
import { ReceiverRegistry } from '../../../src/safekeeper/receive/receiver-registry.ts';
import type { DurableAcceptor } from '../../../src/safekeeper/timeline/durable-acceptor.ts';
import type { Timeline } from '../../../src/safekeeper/timeline/timeline.ts';
import type { Timelines } from '../../../src/safekeeper/timeline/timelines.ts';
import { Kernel } from '../kernel.ts';
import type { SimDoors } from '../kernel-node.ts';
import { KEY } from './simulated-cluster.ts';

/** A timeline on the board whose flush LSN the test moves. */
class Shown {
  readonly key: StatusKey;
  flushLsn: Lsn = INVALID_LSN;
  readonly #listeners = new Set<() => void>();

  constructor(board: StatusBoard, number: number) {
    const timelineId = parseTimelineId(number.toString(16).padStart(32, '0'));
    this.key = { tenantId: KEY.tenantId, timelineId };
    const shown = this;
    const acceptor = {
      acceptor: {
        membership: NO_MEMBERSHIP,
        term: 1,
        lastLogTerm: 1,
        get flushLsn() {
          return shown.flushLsn;
        },
        commitLsn: INVALID_LSN,
        backupLsn: INVALID_LSN,
        remoteConsistentLsn: INVALID_LSN,
        peerHorizonLsn: INVALID_LSN,
        persistent: { localStartLsn: INVALID_LSN },
      },
      listen: (listener: () => void) => {
        this.#listeners.add(listener);
        return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
      },
    } as unknown as DurableAcceptor;
    const receivers = new ReceiverRegistry();
    board.open({ ...this.key, feedback: new FeedbackChannel(), receivers } as unknown as Timeline, acceptor);
  }

  flush(lsn: number): void {
    this.flushLsn = toLsn(lsn);
    for (const listener of this.#listeners) listener();
  }
}

test('a subscriber that does not read costs no memory: it gets the latest state of each timeline when it does', async () => {
  const kernel = new Kernel(1);
  const doors = await new Promise<SimDoors>((resolve) => {
    kernel.addNode('sk').start(resolve);
    void kernel.run();
  });
  const board = new StatusBoard();
  const shown = Array.from({ length: 2500 }, (_, number) => new Shown(board, number));
  const sent: StatusNews[] = [];
  const port = {
    unsentBytes: 0,
    sendCopyData: (body: Uint8Array) => void sent.push(decodeStatusNews(body, 0, body.length)),
    drained: () => Promise.resolve(),
  };
  const life = new AbortController();
  const stream = new StatusStream({
    nodeId: 1,
    board,
    timelines: { find: () => undefined } as unknown as Timelines,
    clock: doors.clock,
    logger: silentLogger,
    signal: life.signal,
    checkAccess: () => undefined,
    onTold: () => undefined,
  });
  let receiver: CopyReceiver | undefined;
  const running = stream.run((it) => {
    receiver = it;
    return port;
  });
  const say = (request: Parameters<typeof encodeStatusRequest>[0]): void => {
    const message = encodeStatusRequest(request);
    receiver?.onCopyData(message, 0, message.length, new DataView(message.buffer));
  };
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 1000) {
      await kernel.run({ untilMs: kernel.nowUs / 1000 + 1000 });
      say({ kind: 'keepalive' });
    }
  };
  const states = () => sent.flatMap((news) => (news.kind === 'states' ? news.states : []));
  for (let from = 0; from < shown.length; from += 500) {
    say({ kind: 'add', keys: shown.slice(from, from + 500).map(({ key }) => key) });
  }
  await pass(3000);
  expect(states()).toHaveLength(2500);
  // In messages of a bounded length.
  expect(sent.filter(({ kind }) => kind === 'states')).toHaveLength(3);

  port.unsentBytes = 10_000_000;
  sent.length = 0;
  for (let round = 1; round <= 50; round++) {
    for (const timeline of shown) timeline.flush(round * 100);
    await pass(1000);
  }
  expect(sent).toEqual([]);
  port.unsentBytes = 0;
  await pass(5000);
  expect(states()).toHaveLength(2500);
  expect(new Set(states().map(({ flushLsn }) => flushLsn))).toEqual(new Set([5000]));

  sent.length = 0;
  // What changes to and fro is not told.
  shown[7]?.flush(6000);
  shown[7]?.flush(5000);
  shown[8]?.flush(6000);
  await pass(5000);
  expect(states().map(({ timelineId }) => timelineId)).toEqual([shown[8]?.key.timelineId]);
  life.abort();
  await running;
});
