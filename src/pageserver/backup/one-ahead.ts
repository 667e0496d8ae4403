/**
 * Does the same to each item, in order and one at a time, and begins with the next one while the result of one is used.
 * Never more than one is finished and not asked for. Whoever stops early waits for the one that is under way.
 */
export async function* oneAhead<Item, Result>(
  items: AsyncIterable<Item>,
  action: (item: Item) => Promise<Result>,
): AsyncGenerator<Result, void> {
  const iterator = items[Symbol.asyncIterator]();
  const begin = (): Promise<{ readonly result: Result } | undefined> => {
    const promise = nextOf(iterator, action);
    // It may fail before anybody waits for it; whoever does is told.
    promise.catch(() => undefined);
    return promise;
  };
  let pending = begin();
  try {
    for (let done = await pending; done !== undefined; done = await pending) {
      pending = begin();
      yield done.result;
    }
  } finally {
    await Promise.allSettled([pending]);
    await iterator.return?.();
  }
}

async function nextOf<Item, Result>(
  iterator: AsyncIterator<Item>,
  action: (item: Item) => Promise<Result>,
): Promise<{ readonly result: Result } | undefined> {
  const next = await iterator.next();
  return next.done === true ? undefined : { result: await action(next.value) };
}
