import { VarveError } from '../../src/base/errors.ts';
import { cancelledError } from '../../src/io/cancelled.ts';
import type { ObjectStore } from '../../src/io/objects.ts';

export type ObjectRequest = 'put' | 'get' | 'head' | 'list' | 'remove';

/**
 * What becomes of a request: `fail` before anything has happened, `lose` the answer after it has happened, `stick`
 * until its signal is given.
 */
export type ObjectFate = 'work' | 'fail' | 'lose' | 'stick';

/** An object store of which requests fail by plan, and that remembers what was asked of it. */
export class UnreliableObjects implements ObjectStore {
  readonly description = 'unreliable';
  readonly requests: { readonly request: ObjectRequest; readonly key: string }[] = [];
  /** Asked at each request, with the key, the prefix, or the first of several keys. */
  fate: (request: ObjectRequest, key: string) => ObjectFate = () => 'work';
  /** What comes before each request; a crash of a simulated node can come there. */
  before: (request: ObjectRequest, key: string) => Promise<void> = async () => undefined;
  readonly store: ObjectStore;

  constructor(store: ObjectStore) {
    this.store = store;
  }

  put(...args: Parameters<ObjectStore['put']>): Promise<void> {
    return this.#request('put', args[0], args[2].signal, () => this.store.put(...args));
  }

  get(...args: Parameters<ObjectStore['get']>): Promise<Uint8Array> {
    return this.#request('get', args[0], args[1].signal, () => this.store.get(...args));
  }

  async *getStream(...args: Parameters<ObjectStore['getStream']>): AsyncIterable<Uint8Array> {
    await this.#request('get', args[0], args[1].signal, async () => undefined);
    yield* this.store.getStream(...args);
  }

  head(...args: Parameters<ObjectStore['head']>): ReturnType<ObjectStore['head']> {
    return this.#request('head', args[0], args[1], () => this.store.head(...args));
  }

  async *list(...args: Parameters<ObjectStore['list']>): ReturnType<ObjectStore['list']> {
    await this.#request('list', args[0], args[1], async () => undefined);
    yield* this.store.list(...args);
  }

  remove(...args: Parameters<ObjectStore['remove']>): Promise<void> {
    return this.#request('remove', args[0][0] ?? '', args[1], () => this.store.remove(...args));
  }

  close(): void {
    this.store.close();
  }

  async keys(): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of this.store.list('', new AbortController().signal)) keys.push(key);
    return keys;
  }

  async #request<Result>(
    request: ObjectRequest,
    key: string,
    signal: AbortSignal,
    action: () => Promise<Result>,
  ): Promise<Result> {
    this.requests.push({ request, key });
    await this.before(request, key);
    const fate = this.fate(request, key);
    if (fate === 'stick') {
      return await new Promise<Result>((_, reject) => {
        const stop = (): void => reject(cancelledError(signal));
        if (signal.aborted) stop();
        else signal.addEventListener('abort', stop, { once: true });
      });
    }
    if (fate === 'fail')
      throw new VarveError('unavailable', 'OBJECT_STORE', 'this fails by plan', { file: key });
    const result = await action();
    if (fate === 'lose')
      throw new VarveError('unavailable', 'OBJECT_STORE', 'the answer is lost', { file: key });
    return result;
  }
}
