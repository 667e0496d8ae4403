import type { Lsn } from '../../../src/base/lsn.ts';
import { decodeAcceptorMessage, encodeProposerMessage } from '../../../src/contracts/acceptor-messages.ts';
import { NO_MEMBERSHIP } from '../../../src/contracts/membership.ts';
import { connect } from '../../../src/libpq/client/connect.ts';
import type { CopyEnd } from '../../../src/libpq/copy-stream.ts';
import { checkStatusIsVote } from '../checkers/status-vote.ts';
import type { SimDoors } from '../kernel-node.ts';
import type { Cluster } from './cluster.ts';
import type { SafekeeperNode } from './safekeeper-node.ts';
import { addressOf, SERVER, TENANT, TIMELINE } from './timeline-identity.ts';

const TRIES = 4;
/** Until those who were sent away have left. */
const WAIT_US = 1500;
const NEVER = new AbortController().signal;

/**
 * Sends all proposers away from a safekeeper, asks it for its status, and then for a vote in a term that has long
 * been: both must say the same. Nothing is found out where a proposer comes in between.
 */
export function probe(cluster: Cluster, safekeeper: SafekeeperNode, triesLeft = TRIES): void {
  const { kernel } = cluster;
  const { timeline, acceptor, durable } = safekeeper;
  if (timeline === undefined || acceptor === undefined || durable?.failure !== undefined) return;
  if (timeline.receivers.count > 0) {
    if (triesLeft === 0) return;
    for (const { node } of cluster.computes) kernel.network.breakConnections(node, safekeeper.node);
    kernel.after(undefined, WAIT_US, () => probe(cluster, safekeeper, triesLeft - 1));
    return;
  }
  const { incarnation } = safekeeper.node;
  let hasSeenUs = false;
  let othersCame = false;
  // The first that comes is us, or the one who makes the answer worthless.
  const watching = timeline.receivers.watchComputes((computes) => {
    if (computes > 1 || (computes === 0 && hasSeenUs)) othersCame = true;
    if (computes > 0) hasSeenUs = true;
  });
  const statusLsn = acceptor.flushLsn;
  const { generation } = acceptor.membership;
  const prober = kernel.addNode(`prober${kernel.nodes.length}`);
  prober.start(async (doors) => {
    try {
      const voteLsn = await askForVote(doors, safekeeper.id, generation);
      const isSameLife = incarnation === safekeeper.node.incarnation && acceptor === safekeeper.acceptor;
      if (voteLsn !== undefined && isSameLife && !othersCame)
        checkStatusIsVote(safekeeper.id, statusLsn, voteLsn);
    } finally {
      watching[Symbol.dispose]();
    }
  });
}

/** undefined where no answer comes. */
async function askForVote(doors: SimDoors, id: number, generation: number): Promise<Lsn | undefined> {
  const { host, pgPort } = addressOf(id);
  const ended = Promise.withResolvers<Lsn | undefined>();
  try {
    const options = `-c tenant_id=${TENANT} timeline_id=${TIMELINE}`;
    const client = await connect(
      doors.sockets,
      { host, port: pgPort },
      { user: 'prober', ...doors, connectTimeoutMs: 1000, signal: NEVER, parameters: { options } },
    );
    const stream = await client.copyBoth(
      "START_WAL_PUSH (proto_version '3', allow_timeline_creation 'false')",
      {
        onCopyData: (bytes, offset, length) => {
          const message = decodeAcceptorMessage(bytes.slice(offset, offset + length));
          if (message.kind === 'vote-response') ended.resolve(message.flushLsn);
        },
        onCopyEnd: (_end: CopyEnd) => ended.resolve(undefined),
      },
    );
    const key = { tenantId: TENANT, timelineId: TIMELINE };
    stream.sendCopyData(
      encodeProposerMessage({ kind: 'greeting', ...key, membership: NO_MEMBERSHIP, ...SERVER }),
    );
    stream.sendCopyData(encodeProposerMessage({ kind: 'vote-request', generation, term: 0 }));
    const voteLsn = await ended.promise;
    await client.close();
    return voteLsn;
  } catch {
    // It was refused, or the connection was lost: there is nothing to compare.
    return undefined;
  }
}
