import type { Connection, Receiver } from '../io/sockets.ts';

/** Of what one side has sent and the other has not taken. */
const UNSENT_BYTES_MAX = 256 * 1024;

/**
 * Makes two connections one: what comes from one goes to the other, no faster than that takes it. Resolves when both are
 * gone. Either may receive already; what it has received before is the caller's to send.
 */
export async function relay(one: Connection, other: Connection): Promise<void> {
  await Promise.all([pass(one, other), pass(other, one)]);
}

function pass(from: Connection, to: Connection): Promise<void> {
  return new Promise((resolve) => {
    const receiver: Receiver = {
      onBytes(chunk) {
        to.send(chunk);
        if (to.unsentBytes <= UNSENT_BYTES_MAX) return;
        from.pause();
        void to.drained(UNSENT_BYTES_MAX / 2).then(() => from.resume());
      },
      onEnd: () => to.end(),
      // What was lost on one side is lost on the other one; what is unsent still goes out after an end in order.
      onClosed(error) {
        if (error !== undefined) to.close();
        else if (!to.isClosed) to.end();
        resolve();
      },
    };
    from.receive(receiver);
    from.resume();
  });
}
