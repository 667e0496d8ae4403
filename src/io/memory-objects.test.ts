import { expect, test } from 'vitest';
import { describeObjects } from '../../test/conformance/objects.ts';
import { expectRefusal, runForReal } from '../../test/conformance/world.ts';
import { MemoryObjects } from './memory-objects.ts';
import { nodeClock } from './node/clock.ts';

const never = new AbortController().signal;

describeObjects('memory', async () => ({
  store: new MemoryObjects(nodeClock),
  run: runForReal,
  [Symbol.asyncDispose]: async () => undefined,
}));

test('takes the time from its clock', async () => {
  const store = new MemoryObjects({ ...nodeClock, wallMs: () => 1234 });
  await store.put('a', new Uint8Array(1), { signal: never });
  expect(await store.head('a', never)).toEqual({ key: 'a', sizeBytes: 1, modifiedMs: 1234 });
});

test('a list goes on where it was, whatever comes and goes meanwhile', async () => {
  const store = new MemoryObjects(nodeClock);
  for (const key of ['a', 'b', 'c', 'd']) await store.put(key, new Uint8Array(0), { signal: never });
  const seen: string[] = [];
  for await (const { key } of store.list('', never)) {
    seen.push(key);
    if (key !== 'b') continue;
    await store.remove(['a', 'b', 'c'], never);
    await store.put('aa', new Uint8Array(0), { signal: never });
    await store.put('bb', new Uint8Array(0), { signal: never });
  }
  expect(seen).toEqual(['a', 'b', 'bb', 'd']);
});

test('is as strict as a directory', async () => {
  const store = new MemoryObjects(nodeClock);
  await store.put('a/b', new Uint8Array(0), { signal: never });
  for (const key of ['a', 'a/b/c']) {
    const action = store.put(key, new Uint8Array(0), { signal: never });
    await expectRefusal(action, 'bad-request', 'BAD_OBJECT_KEY');
  }
});
