import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Branch, Endpoint, Operation } from '../../../src/contracts/control-api.ts';
import type { OperatedSystem } from './operated-system.ts';

/** Longer than the API itself lets a request wait. */
const REQUEST_TIMEOUT_MS = 40_000;
const RETRY_MS = 150;
const PROJECT = '/projects/main';

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** What has come of a request in the end. */
export type Outcome =
  | { readonly kind: 'done'; readonly body: unknown }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string };

/** Nobody has answered, or with nothing that is one. */
class UnansweredError extends Error {}

/** Requests to the control plane by somebody who asks again until there is an answer, with the same key. */
export class ControlRequests {
  /** Why something was asked for again, the last time. */
  lastUnanswered = '';
  readonly #system: OperatedSystem;
  readonly #signal: AbortSignal;

  /** @param signal ends all asking */
  constructor(system: OperatedSystem, signal: AbortSignal) {
    this.#system = system;
    this.#signal = signal;
  }

  async branches(): Promise<Branch[]> {
    return (await this.#read<{ branches: Branch[] }>(`${PROJECT}/branches`)).branches;
  }

  /** How far each part is. */
  status(): Promise<unknown> {
    return this.#read('/status');
  }

  /** The primary of a branch, by the branch's name. Once: whoever asks asks again. @throws where nobody answers */
  async findPrimary(branch: string): Promise<Endpoint | undefined> {
    const { status, body } = await this.#ask('GET', `${branchPath(branch)}/endpoints`);
    if (status !== 200) throw new UnansweredError(`status ${status}: ${JSON.stringify(body)}`);
    return (body as { endpoints: Endpoint[] }).endpoints.find(({ kind }) => kind === 'primary');
  }

  createBranch(body: object): Promise<Outcome> {
    return this.#carryOut('POST', `${PROJECT}/branches`, body);
  }

  resetBranch(branch: string, body: object): Promise<Outcome> {
    return this.#carryOut('POST', `${branchPath(branch)}/reset`, body);
  }

  restoreBranch(branch: string, body: object): Promise<Outcome> {
    return this.#carryOut('POST', `${branchPath(branch)}/restore`, body);
  }

  deleteBranch(branch: string): Promise<Outcome> {
    return this.#carryOut('DELETE', branchPath(branch));
  }

  /** What a start fails of is told to whoever has asked for it, and is final. */
  createEndpoint(branch: string): Promise<Outcome> {
    return this.#carryOut('POST', `${branchPath(branch)}/endpoints`, { kind: 'primary' }, isFromOutside);
  }

  /** As createEndpoint. */
  moveEndpoint(endpoint: string, what: 'start' | 'suspend' | 'restart'): Promise<Outcome> {
    return this.#carryOut('POST', `${PROJECT}/endpoints/${endpoint}/${what}`, undefined, isFromOutside);
  }

  /** Asks until there is an answer, and waits until what it has begun is over. */
  async #carryOut(
    method: string,
    path: string,
    body?: object,
    isAskedAgain: (answer: Answer) => boolean = isPassing,
  ): Promise<Outcome> {
    const key = randomUUID();
    const ask = (): Promise<Answer> => this.#ask(method, path, body, key);
    const { status, body: answer } = await this.#untilAnswered(ask, isAskedAgain);
    if (status >= 400) return toRefusal(answer, status);
    const { operationId } = answer as { operationId: string | null };
    if (operationId === null) return { kind: 'done', body: answer };
    const operation = await this.#untilOver(operationId);
    if (operation.state === 'done') return { kind: 'done', body: answer };
    const { code, message } = operation.error ?? { code: 'FAILED', message: 'without a reason' };
    return { kind: 'refused', code, message };
  }

  async #untilOver(id: string): Promise<Operation> {
    for (;;) {
      const operation = await this.#read<Operation>(`/operations/${id}`);
      if (operation.state === 'done' || operation.state === 'failed') return operation;
      await delay(RETRY_MS, undefined, { signal: this.#signal });
    }
  }

  async #read<Body>(path: string): Promise<Body> {
    const { status, body } = await this.#untilAnswered(() => this.#ask('GET', path));
    if (status !== 200) throw new Error(`GET ${path}: status ${status}, ${JSON.stringify(body)}`);
    return body as Body;
  }

  async #untilAnswered(
    ask: () => Promise<Answer>,
    isAskedAgain: (answer: Answer) => boolean = isPassing,
  ): Promise<Answer> {
    for (;;) {
      this.#signal.throwIfAborted();
      try {
        const answer = await ask();
        if (!isAskedAgain(answer)) return answer;
        this.lastUnanswered = `${answer.status} ${JSON.stringify(answer.body)}`;
      } catch (error) {
        if (!(error instanceof UnansweredError)) throw error;
        this.lastUnanswered = error.message;
      }
      await delay(RETRY_MS, undefined, { signal: this.#signal });
    }
  }

  async #ask(method: string, path: string, body?: object, key?: string): Promise<Answer> {
    const { api } = this.#system;
    if (api === undefined) throw new UnansweredError('the system is not up');
    try {
      const response = await fetch(api + path, {
        method,
        headers: {
          authorization: `Bearer ${await this.#system.token()}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(key === undefined ? {} : { 'idempotency-key': key }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.any([this.#signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
      });
      return { status: response.status, body: await response.json() };
    } catch (error) {
      if (this.#signal.aborted) throw error;
      throw new UnansweredError(String((error as Error).cause ?? error));
    }
  }
}

const branchPath = (branch: string): string => `${PROJECT}/branches/${encodeURIComponent(branch)}`;

/** Of what is away, or busy with something that is over soon. */
function isPassing({ status, body }: Answer): boolean {
  if (status >= 500) return true;
  const { code } = body as { code?: string };
  return status === 409 && code !== undefined && /_BUSY$/.test(code);
}

/** Of an answer that says nothing of what was asked for. */
const isFromOutside = ({ status, body }: Answer): boolean =>
  isPassing({ status, body }) && (status < 500 || !isProblem(body));

const isProblem = (body: unknown): boolean =>
  typeof body === 'object' && body !== null && 'code' in body && body.code !== 'SHUTTING_DOWN';

function toRefusal(body: unknown, status: number): Outcome {
  const { code, detail } = body as { code?: string; detail?: string };
  return { kind: 'refused', code: code ?? `STATUS_${status}`, message: detail ?? '' };
}
