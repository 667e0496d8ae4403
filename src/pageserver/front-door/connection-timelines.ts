import type { TenantId, TimelineId } from '../../base/ids.ts';
import { TimelineHandle } from '../page-service/timeline-handle.ts';
import type { TimelineAccess } from '../timeline-access.ts';

/** A client that goes through more timelines on one connection looks them up again. */
const HANDLES_MAX = 100;

/** The timelines that one connection has asked for, all of one tenant. It keeps none of them from being shut down. */
export class ConnectionTimelines {
  readonly tenantId: TenantId;
  readonly #access: TimelineAccess;
  readonly #signal: AbortSignal;
  readonly #handles = new Map<TimelineId, TimelineHandle>();

  /** @param signal of the connection: when it is over, it lets go of all timelines */
  constructor(access: TimelineAccess, tenantId: TenantId, signal: AbortSignal) {
    this.#access = access;
    this.tenantId = tenantId;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#closeAll(), { once: true });
  }

  /** @throws as TimelineAccess.timeline; the reason of the connection's signal */
  async get(timelineId: TimelineId): Promise<TimelineHandle> {
    const known = this.#handles.get(timelineId);
    if (known?.isOpen === true) return known;
    const active = await this.#access.timeline(this.tenantId, timelineId, this.#signal);
    this.#signal.throwIfAborted();
    if (this.#handles.size >= HANDLES_MAX) this.#closeAll();
    const handle = new TimelineHandle(active);
    this.#handles.set(timelineId, handle);
    return handle;
  }

  #closeAll(): void {
    for (const handle of this.#handles.values()) handle.close();
    this.#handles.clear();
  }
}
