import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import { connectionStringOf } from '../../../src/contracts/connection-string.ts';
import type { SeededRandom } from '../../support/seeded-random.ts';
import { enter, isServerFault, leave, patiently, transfer } from './bank.ts';
import type { ControlRequests } from './control-requests.ts';
import type { History } from './ledger.ts';

const RETRY_MS = 100;
/** A client gives up a connection on which nothing comes for so long, and takes another one. */
const TRANSFER_TIMEOUT_MS = 20_000;
/** How often whoever cannot connect asks where the server is. */
const FIND_INTERVAL_MS = 1000;

export interface BranchSurroundings {
  readonly requests: ControlRequests;
  readonly onEvent: (text: string) => void;
  /** Something is there that must not be. */
  readonly onWrong: (text: string) => void;
  /** A compute could not be started, or has ended for good. Somebody asks for it again then. */
  readonly onFailedEndpoint: (text: string) => void;
  /** Between two transfers of a client. */
  readonly pauseMs: number;
}

/** A branch with clients that transfer money on it, and with what it has to hold. */
export class BranchUnderLoad {
  readonly name: string;
  parent: BranchUnderLoad | undefined;
  history: History;
  /** It is being changed, or something is being made of it. */
  isBusy = false;
  /** Nothing of the load goes there any more. */
  isGone = false;
  /** What clients were told last. */
  lastError = 'nothing was said yet';
  readonly #surroundings: BranchSurroundings;
  readonly #clients: Promise<void>[] = [];
  readonly #acknowledgedOf: number[] = [];
  readonly #underWay = new Set<Promise<boolean>>();
  #url: string | undefined;
  #foundAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    name: string,
    parent: BranchUnderLoad | undefined,
    history: History,
    surroundings: BranchSurroundings,
  ) {
    this.name = name;
    this.parent = parent;
    this.history = history;
    this.#surroundings = surroundings;
  }

  /** How many transfers each of its clients has been told of. */
  get acknowledgedOf(): readonly number[] {
    return this.#acknowledgedOf;
  }

  startClients(count: number, random: SeededRandom): void {
    for (let number = 0; number < count; number++) {
      const index = this.#acknowledgedOf.push(0) - 1;
      this.#clients.push(this.#run(index, random.fork()));
    }
  }

  /** Resolves when all its clients have gone, each after what it is at. */
  async endClients(): Promise<void> {
    this.isGone = true;
    await Promise.all(this.#clients);
  }

  /** A connection to where the branch is now. Whoever calls it lets go of it with `leave`. */
  async enter(): Promise<Client> {
    this.#url ??= await this.#find();
    try {
      return await enter(this.#url);
    } catch (error) {
      // Its server may have another port by now.
      if (performance.now() - this.#foundAtMs > FIND_INTERVAL_MS) this.#url = undefined;
      throw error;
    }
  }

  async #find(): Promise<string> {
    this.#foundAtMs = performance.now();
    const { requests, onFailedEndpoint } = this.#surroundings;
    const endpoint = await requests.findPrimary(this.name);
    if (endpoint?.state === 'failed') {
      onFailedEndpoint(`${this.name}: ${endpoint.error?.code} ${endpoint.error?.message}`);
      await requests.moveEndpoint(endpoint.id, 'start');
    }
    const url = endpoint === undefined ? undefined : connectionStringOf(endpoint);
    if (url === undefined) throw new Error(`${this.name} has no server yet`);
    return url;
  }

  async #run(index: number, random: SeededRandom): Promise<void> {
    while (!this.isGone) {
      let client: Client;
      try {
        client = await this.enter();
      } catch (error) {
        this.#note(error);
        await delay(RETRY_MS);
        continue;
      }
      try {
        while (!this.isGone) {
          await this.#transfer(client, index, random);
          if (this.#surroundings.pauseMs > 0) await delay(this.#surroundings.pauseMs);
        }
      } catch (error) {
        this.#note(error);
      } finally {
        leave(client);
      }
    }
  }

  async #transfer(client: Client, index: number, random: SeededRandom): Promise<void> {
    const { history } = this;
    const begun = history.begin();
    const underWay = patiently(client, TRANSFER_TIMEOUT_MS, () => transfer(client, begun.id, random)).then(
      (isCommitted) => {
        if (isCommitted) history.acknowledge(begun);
        return isCommitted;
      },
    );
    this.#underWay.add(underWay);
    try {
      if (await underWay) (this.#acknowledgedOf[index] as number)++;
    } finally {
      this.#underWay.delete(underWay);
    }
  }

  /** Waits until each transfer that goes on has come to some end. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }

  #note(error: unknown): void {
    const { code, message } = error as { code?: string; message: string };
    const text = code === undefined ? message : `${code} ${message}`;
    if (text !== this.lastError) this.#surroundings.onEvent(`a client of ${this.name}: ${text}`);
    this.lastError = text;
    if (isServerFault(error)) this.#surroundings.onWrong(`${this.name}: a server says ${text}`);
  }
}
