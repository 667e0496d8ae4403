/** How the two sides of a receiver ended: the one that reads the network, and the acceptor's. */
export interface ReceiverEnds {
  /** Why no more messages came; undefined if the proposer ended in order. */
  readonly networkError: Error | undefined;
  /** What the acceptor refused or failed with; undefined if it came to its end. */
  readonly acceptorError: Error | undefined;
}

/**
 * The error to tell of: the network's first, since what the acceptor says after it is a consequence; else the
 * acceptor's. That the network side stopped because the acceptor had gone is no network error, and must not be
 * given as one.
 */
export function endingError({ networkError, acceptorError }: ReceiverEnds): Error | undefined {
  return networkError ?? acceptorError;
}
