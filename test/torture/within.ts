import { setTimeout as delay } from 'node:timers/promises';

const POLL_INTERVAL_MS = 20;

/** What `promise` gives, if it does so in time. Throws the complaint otherwise. */
export async function within<Value>(
  timeoutMs: number,
  complaint: string,
  promise: Promise<Value>,
): Promise<Value> {
  const settled = new AbortController();
  const tooLate = delay(timeoutMs, undefined, { signal: settled.signal }).then(
    () => {
      throw new Error(`${complaint} after ${timeoutMs} ms`);
    },
    () => undefined as never,
  );
  try {
    return await Promise.race([promise, tooLate]);
  } finally {
    settled.abort();
  }
}

/** Looks again and again until there is something other than undefined and false. */
export async function eventually<Value>(
  timeoutMs: number,
  complaint: string,
  look: () => Promise<Value | undefined | false>,
): Promise<Value> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`${complaint} after ${timeoutMs} ms`);
    await delay(POLL_INTERVAL_MS);
  }
}
