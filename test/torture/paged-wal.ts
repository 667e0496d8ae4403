import type { TenantId, TimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import type { SafekeeperAddress } from '../../src/contracts/membership.ts';
import type { SafekeeperClient } from '../../src/http/safekeeper-client.ts';
import { MODEL_SEGMENT_BYTES, MODEL_START, MODEL_SYSTEM } from '../engine/model-cluster.ts';
import type { ModelTimeline } from '../engine/model-timeline.ts';
import { WalPusher } from '../support/wal-pusher.ts';

const POSTGRES_VERSION = 170_011;
const GENERATION = 1;
const TERM = 1;

interface Fed {
  readonly tenantId: TenantId;
  readonly pusher: WalPusher;
  position: Lsn;
}

/** Brings the WAL of models to a safekeeper, as their computes would. */
export class PagedWal implements AsyncDisposable {
  readonly #address: SafekeeperAddress;
  readonly #client: SafekeeperClient;
  readonly #fed = new Map<TimelineId, Fed>();

  constructor(address: SafekeeperAddress, client: SafekeeperClient) {
    this.#address = address;
    this.#client = client;
  }

  /** The safekeeper keeps the timeline's WAL from now on. */
  async begin(tenantId: TenantId, { id: timelineId, branchPoint }: ModelTimeline): Promise<void> {
    const startLsn = branchPoint?.endLsn ?? MODEL_START;
    const { host, pgPort: port } = this.#address;
    const membership = { generation: GENERATION, members: [this.#address], newMembers: undefined };
    await this.#client.createTimeline(
      {
        ...{ tenant_id: tenantId, timeline_id: timelineId, mconf: membership, start_lsn: startLsn },
        ...{ pg_version: POSTGRES_VERSION, system_id: MODEL_SYSTEM, wal_seg_size: MODEL_SEGMENT_BYTES },
      },
      new AbortController().signal,
    );
    const pusher = await WalPusher.start({
      ...{ address: { host, port }, tenantId, timelineId, membership, systemIdentifier: MODEL_SYSTEM },
    });
    await pusher.elect(TERM, startLsn);
    this.#fed.set(timelineId, { tenantId, pusher, position: startLsn });
  }

  /** All WAL that the model has is durable when this resolves. */
  async push(model: ModelTimeline): Promise<void> {
    const fed = this.#fed.get(model.id);
    if (fed === undefined) throw new Error(`nobody writes the timeline ${model.id}`);
    const { pusher, position: startLsn } = fed;
    if (startLsn >= model.walEnd) return;
    const bytes = model.walFrom(startLsn).slice();
    fed.position = await pusher.push({ startLsn, bytes, ends: [model.walEnd], previousLsn: startLsn });
  }

  /** The safekeeper forgets the timeline. */
  async end(timelineId: TimelineId): Promise<void> {
    const fed = this.#fed.get(timelineId);
    if (fed === undefined) return;
    this.#fed.delete(timelineId);
    await fed.pusher.close();
    const key = { tenant_id: fed.tenantId, timeline_id: timelineId };
    await this.#client.deleteTimeline(key, {}, new AbortController().signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#fed.values()].map(({ pusher }) => pusher.close()));
  }
}
