import { CorruptionError, VarveError } from '../base/errors.ts';
import { formatLsn, type Lsn } from '../base/lsn.ts';
import type { SafekeeperAddress } from '../contracts/membership.ts';
import type { CopyEnd, CopyReceiver, CopyStream } from '../libpq/copy-stream.ts';
import { formatReplicationCommand } from '../postgres/wire/replication-commands.ts';
import {
  KEEPALIVE_TAG,
  readReplicationTag,
  refuseReplicationTag,
  STANDBY_STATUS_BYTES,
  writeStandbyStatus,
  XLOG_DATA_TAG,
  XLogData,
} from '../postgres/wire/replication-messages.ts';
import type { ProposerDoors, ProposerOptions, ProposerSettings } from './options.ts';
import { connectToSafekeeper } from './safekeeper-connection.ts';

export interface DonorRequest {
  readonly donor: SafekeeperAddress;
  /** The donor must be in this term, ours, for as long as it gives. */
  readonly term: number;
  readonly beginLsn: Lsn;
  /** Takes WAL, in order and for good. False: it is enough. */
  readonly take: (wal: Uint8Array) => boolean;
  /** Resolves when the donor is to go on; undefined: at once. Asked after each `take`. */
  readonly hold: () => Promise<void> | undefined;
}

/**
 * Reads older WAL from a safekeeper that has it, also what is not committed yet.
 * @returns when it is enough
 * @throws VarveError where the donor ends it before
 */
export async function readFromDonor(
  request: DonorRequest,
  options: ProposerOptions,
  settings: ProposerSettings,
  doors: ProposerDoors,
  signal: AbortSignal,
): Promise<void> {
  const { donor, term, beginLsn } = request;
  const client = await connectToSafekeeper(donor, options, settings.connectTimeoutMs, doors, signal);
  const silence = watch(doors, settings.idleTimeoutMs, () => {
    const reason = `nothing came from safekeeper ${donor.id} for ${settings.idleTimeoutMs} ms`;
    client.abort(new VarveError('unavailable', 'SAFEKEEPER_SILENT', reason));
  });
  try {
    const reader = new DonorReader(request, () => silence.reset());
    const command = formatReplicationCommand({ kind: 'StartReplication', startLsn: beginLsn, term });
    reader.stream = await client.copyBoth(command, reader);
    const end = await reader.ended.promise;
    if (end === 'enough') return;
    if (end.kind === 'failed') throw end.error;
    throw new VarveError('unavailable', 'DONOR_ENDED', `safekeeper ${donor.id} gives no more WAL`);
  } finally {
    silence.cancel();
    client.abort(new VarveError('cancelled', 'CONNECTION_CLOSED', 'this connection is not needed any more'));
  }
}

class DonorReader implements CopyReceiver {
  readonly ended: PromiseWithResolvers<CopyEnd | 'enough'> = Promise.withResolvers();
  stream: CopyStream | undefined;
  readonly #request: DonorRequest;
  readonly #onReceived: () => void;
  readonly #xlogData = new XLogData();
  #position: number;
  #isEnough = false;

  constructor(request: DonorRequest, onReceived: () => void) {
    this.#request = request;
    this.#onReceived = onReceived;
    this.#position = request.beginLsn;
  }

  onCopyData(_bytes: Uint8Array, offset: number, length: number, view: DataView): void {
    this.#onReceived();
    if (this.#isEnough || this.stream === undefined) return;
    const tag = readReplicationTag(view, offset, length);
    if (tag === KEEPALIVE_TAG) this.#answer(this.stream);
    else if (tag === XLOG_DATA_TAG) this.#takeWal(this.stream, offset, length, view);
    else refuseReplicationTag(tag);
  }

  onCopyEnd(end: CopyEnd): void {
    this.ended.resolve(end);
  }

  #takeWal(stream: CopyStream, offset: number, length: number, view: DataView): void {
    this.#xlogData.read(view, offset, length);
    const { startLsn, dataOffset, dataLength } = this.#xlogData;
    if (startLsn !== this.#position) {
      throw new CorruptionError(
        'WAL_GAP',
        `a donor goes on at ${formatLsn(startLsn)} after ${formatLsn(this.#position)}`,
        { lsn: startLsn },
      );
    }
    if (dataLength === 0) return;
    this.#position += dataLength;
    if (!this.#request.take(stream.takeBody().subarray(dataOffset - offset))) {
      this.#isEnough = true;
      this.ended.resolve('enough');
      return;
    }
    const held = this.#request.hold();
    if (held === undefined) return;
    stream.pause();
    void held.then(() => {
      this.#onReceived();
      stream.resume();
    });
  }

  /** It wants to know that we are still here. */
  #answer(stream: CopyStream): void {
    const message = new Uint8Array(STANDBY_STATUS_BYTES);
    const lsn = this.#position;
    writeStandbyStatus(new DataView(message.buffer), 0, lsn, lsn, lsn, 0, false);
    stream.sendMessages(message);
  }
}

/** Calls back when `reset` has not been called for so long. */
function watch(
  { clock }: ProposerDoors,
  timeoutMs: number,
  onSilence: () => void,
): { reset(): void; cancel(): void } {
  let lastMs = clock.monotonicMs();
  const check = (): void => {
    const restMs = lastMs + timeoutMs - clock.monotonicMs();
    if (restMs > 0) timer = clock.setTimer(restMs, check);
    else onSilence();
  };
  let timer = clock.setTimer(timeoutMs, check);
  return {
    reset: () => {
      lastMs = clock.monotonicMs();
    },
    cancel: () => timer.cancel(),
  };
}
