/** The door to randomness. A simulated one comes from a seed. */
export interface Random {
  /** A number in [0, 1), for jitter. */
  fraction(): number;
  /** Bytes that nobody can guess, for identifiers and nonces. */
  bytes(length: number): Uint8Array;
}
