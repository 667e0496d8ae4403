import { BadRequestError, VarveError } from '../base/errors.ts';
import type { Branch, Endpoint } from '../contracts/control-api.ts';
import type { LibraryContext } from './library-context.ts';
import { makeEndpoint, urlOf } from './open-endpoint.ts';

/** A branch: a database of its own, which began as what its parent was. `await using` deletes it at the end of the block. */
export class VarveBranch implements AsyncDisposable {
  /** As the API and the command line have it. */
  readonly id: string;
  readonly name: string;
  /** How to connect to it, as its superuser; the same for as long as there is the branch. */
  readonly url: string;
  readonly #context: LibraryContext;
  readonly #projectId: string;
  #deletion: Promise<void> | undefined;

  /** @param primary of the branch */
  constructor(context: LibraryContext, { id, name, projectId }: Branch, primary: Endpoint) {
    this.#context = context;
    this.#projectId = projectId;
    this.id = id;
    this.name = name;
    this.url = urlOf(primary);
  }

  /**
   * What was on the branch at a time, to be read only.
   * @param time of the machine's clock, to the millisecond: what was committed later is not seen. Text as RFC 3339 has it
   * @throws VarveError of the code BAD_TIME, TIME_IN_FUTURE; BAD_BRANCH_POINT where the branch has no history of that time
   */
  async at(time: Date | string): Promise<VarvePast> {
    const wanted = { kind: 'read-only', time: parseTime(time) } as const;
    const endpoint = await makeEndpoint(this.#context, this.#projectId, this.id, wanted);
    return new VarvePast(this.#context, endpoint);
  }

  /**
   * What the parent has now takes the place of what is on the branch. Sessions are ended; the url stays.
   * @throws VarveError of the code BRANCH_HAS_CHILDREN, also while something that `at` has given is there
   */
  async reset(): Promise<void> {
    const { client, signal } = this.#context;
    const { operationId } = await client.resetBranch(this.#projectId, this.id, {}, signal);
    await client.finished(operationId, signal);
  }

  /**
   * Ends its sessions and deletes it, with all that `at` has given. May be called again.
   * @throws VarveError of the code BRANCH_HAS_CHILDREN, BRANCH_PROTECTED
   */
  delete(): Promise<void> {
    this.#deletion ??= this.#delete().catch((error: unknown) => {
      this.#deletion = undefined;
      throw error;
    });
    return this.#deletion;
  }

  async #delete(): Promise<void> {
    const { client, signal } = this.#context;
    await deleteOnce(this.#context, () => client.deleteBranch(this.#projectId, this.id, signal));
  }

  /** As `delete`. Nothing is done when the system has been stopped before. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#context.signal.aborted) await this.delete();
  }
}

/** What was on a branch at some time. `await using` deletes it at the end of the block, which takes nothing from the branch. */
export class VarvePast implements AsyncDisposable {
  /** How to connect to it, as its superuser; it refuses to write. */
  readonly url: string;
  readonly #context: LibraryContext;
  readonly #endpoint: Endpoint;
  #deletion: Promise<void> | undefined;

  constructor(context: LibraryContext, endpoint: Endpoint) {
    this.#context = context;
    this.#endpoint = endpoint;
    this.url = urlOf(endpoint);
  }

  /** Ends its sessions and deletes it. May be called again. */
  delete(): Promise<void> {
    this.#deletion ??= this.#delete().catch((error: unknown) => {
      this.#deletion = undefined;
      throw error;
    });
    return this.#deletion;
  }

  async #delete(): Promise<void> {
    const { client, signal } = this.#context;
    const { projectId, id } = this.#endpoint;
    await deleteOnce(this.#context, () => client.deleteEndpoint(projectId, id, signal));
  }

  /** As `delete`. Nothing is done when the system has been stopped before. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#context.signal.aborted) await this.delete();
  }
}

/** Waits until it is gone; what is gone already, such as with its branch, is as it should be. */
export async function deleteOnce(
  { client, signal }: LibraryContext,
  ask: () => ReturnType<LibraryContext['client']['deleteBranch']>,
): Promise<void> {
  try {
    const { isGone, operationId } = await ask();
    if (!isGone) await client.finished(operationId, signal);
  } catch (error) {
    if (!(error instanceof VarveError) || error.kind !== 'not-found') throw error;
  }
}

/** Milliseconds since 1970. @throws BadRequestError BAD_TIME */
export function parseTime(time: Date | string): number {
  const timeMs = typeof time === 'string' ? Date.parse(time) : time.getTime();
  if (Number.isNaN(timeMs)) throw new BadRequestError('BAD_TIME', `‘${time}’ is no time`);
  return timeMs;
}
