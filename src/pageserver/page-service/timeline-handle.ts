import { VarveError } from '../../base/errors.ts';
import type { Pass } from '../../base/gate.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';

/** connection_failure: clients of Neon connect again on it, and may find somebody else. */
const SQLSTATE_CONNECTION_FAILURE = '08006';

/** The timeline that a stream is of has been shut down, here. The stream ends of it, the connection does not. */
export class TimelineGoneError extends VarveError {
  readonly sqlState: string = SQLSTATE_CONNECTION_FAILURE;

  constructor() {
    super('unavailable', 'TIMELINE_GONE', 'reconnect');
  }
}

type State = { readonly kind: 'open'; readonly active: ActiveTimeline } | { readonly kind: 'shut-down' };
const SHUT_DOWN: State = { kind: 'shut-down' };

/**
 * What a connection keeps of a timeline. It holds nobody up: the timeline can be shut down at any time, which the handle
 * is told. Whoever works in the timeline enters its gate for that (`enter`), and leaves it before anything is queued or
 * sent. Either side lets go of the other when it ends.
 */
export class TimelineHandle {
  #state: State;
  /** Called when the timeline is shut down; of whoever uses the handle now. */
  onShutDown: (() => void) | undefined;

  constructor(active: ActiveTimeline) {
    this.#state = { kind: 'open', active };
    active.timeline.signal.addEventListener('abort', this.#shutDown, { once: true });
    if (active.timeline.signal.aborted) this.#shutDown();
  }

  get isOpen(): boolean {
    return this.#state.kind === 'open';
  }

  /** @throws TimelineGoneError */
  get active(): ActiveTimeline {
    if (this.#state.kind === 'open') return this.#state.active;
    throw new TimelineGoneError();
  }

  /** Keeps the timeline from being closed until the pass is left. @throws TimelineGoneError */
  enter(): Pass {
    return this.active.timeline.enter();
  }

  /** The connection has no more use for it. */
  close(): void {
    if (this.#state.kind === 'open') {
      this.#state.active.timeline.signal.removeEventListener('abort', this.#shutDown);
    }
    this.#state = SHUT_DOWN;
    this.onShutDown = undefined;
  }

  readonly #shutDown = (): void => {
    this.#state = SHUT_DOWN;
    this.onShutDown?.();
  };
}
