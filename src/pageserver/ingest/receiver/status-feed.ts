import { TaskSet } from '../../../base/task-set.ts';
import type { SafekeeperAddress } from '../../../contracts/membership.ts';
import type { StatusKey, TimelineState } from '../../../contracts/status-stream.ts';
import type { Logger } from '../../../observe/log.ts';
import { StatusClient } from '../../../status/status-client.ts';
import type { SourceNews } from './choose-source.ts';
import type { SourceAccess, SourceDoors } from './source-connection.ts';

export interface StatusFeedOptions {
  readonly doors: SourceDoors;
  readonly logger: Logger;
  readonly access: SourceAccess;
  /** Ends all streams. */
  readonly signal: AbortSignal;
}

/** One timeline's part of the news. */
export interface TimelineNews extends Disposable {
  /** Whom to hear from now on. What the others have told is forgotten. */
  setMembers(members: readonly SafekeeperAddress[]): void;
  /** What each safekeeper has told last, in the stream that there is from it now. */
  heard(): SourceNews[];
}

interface Told {
  readonly streamNumber: number;
  readonly state: TimelineState;
}

/** One safekeeper's status stream, for all timelines that it keeps. */
interface Link {
  readonly address: SafekeeperAddress;
  readonly client: StatusClient;
  readonly ending: AbortController;
  /** Those who follow it, by the timeline's name. */
  readonly followers: Map<string, Follower>;
}

/**
 * News of timelines from their safekeepers. One connection to a safekeeper serves all timelines of the pageserver; it is
 * there as long as any of them follows that safekeeper.
 */
export class StatusFeed {
  readonly #options: StatusFeedOptions;
  /** By node and address: one that moves is another one. */
  readonly #links = new Map<string, Link>();
  readonly #tasks = new TaskSet();

  constructor(options: StatusFeedOptions) {
    this.#options = options;
  }

  /** Safekeepers that are heard, or tried. */
  get linkCount(): number {
    return this.#links.size;
  }

  /**
   * Follows a timeline, which nobody else must follow here, until the result is disposed of.
   * @param onNews something was told of it. Must be quick and not throw
   */
  follow(key: StatusKey, members: readonly SafekeeperAddress[], onNews: () => void): TimelineNews {
    const follower = new Follower(
      key,
      onNews,
      (address) => this.#join(address, follower),
      (address) => this.#leave(address, follower),
    );
    follower.setMembers(members);
    return follower;
  }

  /** Resolves when no stream runs any more. Give the signal first. */
  settled(): Promise<void> {
    return this.#tasks.settled();
  }

  #join(address: SafekeeperAddress, follower: Follower): StatusClient {
    const link = this.#links.get(linkName(address)) ?? this.#open(address);
    link.followers.set(follower.name, follower);
    link.client.add([follower.key]);
    return link.client;
  }

  #leave(address: SafekeeperAddress, follower: Follower): void {
    const link = this.#links.get(linkName(address));
    if (link?.followers.get(follower.name) !== follower) return;
    link.followers.delete(follower.name);
    link.client.remove([follower.key]);
    if (link.followers.size > 0) return;
    this.#links.delete(linkName(address));
    link.ending.abort();
  }

  #open(address: SafekeeperAddress): Link {
    const { doors, logger, access, signal } = this.#options;
    const { id, host, pgPort } = address;
    const followers: Link['followers'] = new Map();
    const client: StatusClient = new StatusClient({
      ...doors,
      logger,
      address: { host, port: pgPort },
      nodeId: id,
      applicationName: access.applicationName,
      onStates: (states) => {
        const { streamNumber } = client;
        for (const state of states) followers.get(nameOf(state))?.tell(id, { streamNumber, state });
      },
      onMissing: (keys) => {
        for (const key of keys) followers.get(nameOf(key))?.tell(id, undefined);
      },
      ...(access.password === undefined ? {} : { password: access.password }),
      ...(access.tls === undefined ? {} : { tls: { ...access.tls, serverName: host } }),
    });
    const ending = new AbortController();
    const link = { address, client, ending, followers };
    this.#links.set(linkName(address), link);
    this.#tasks.run(() => client.run(AbortSignal.any([signal, ending.signal])));
    return link;
  }
}

class Follower implements TimelineNews {
  readonly key: StatusKey;
  readonly name: string;
  readonly #onNews: () => void;
  readonly #join: (address: SafekeeperAddress) => StatusClient;
  readonly #leave: (address: SafekeeperAddress) => void;
  readonly #joined = new Map<
    number,
    { readonly address: SafekeeperAddress; readonly client: StatusClient }
  >();
  readonly #told = new Map<number, Told>();

  constructor(
    key: StatusKey,
    onNews: () => void,
    join: (address: SafekeeperAddress) => StatusClient,
    leave: (address: SafekeeperAddress) => void,
  ) {
    this.key = key;
    this.name = nameOf(key);
    this.#onNews = onNews;
    this.#join = join;
    this.#leave = leave;
  }

  setMembers(members: readonly SafekeeperAddress[]): void {
    const wanted = new Map(members.map((address) => [address.id, address]));
    for (const [id, { address }] of this.#joined) {
      const next = wanted.get(id);
      if (next !== undefined && linkName(next) === linkName(address)) continue;
      this.#joined.delete(id);
      this.#told.delete(id);
      this.#leave(address);
    }
    for (const [id, address] of wanted) {
      if (!this.#joined.has(id)) this.#joined.set(id, { address, client: this.#join(address) });
    }
  }

  heard(): SourceNews[] {
    const heard: SourceNews[] = [];
    for (const [nodeId, { streamNumber, state }] of this.#told) {
      const client = this.#joined.get(nodeId)?.client;
      // What an earlier stream told may have changed since, and nobody would have said so.
      if (client?.streamNumber !== streamNumber || client.heardMs === undefined) continue;
      heard.push({ nodeId, heardMs: client.heardMs, state });
    }
    return heard;
  }

  tell(nodeId: number, told: Told | undefined): void {
    if (told === undefined) this.#told.delete(nodeId);
    else this.#told.set(nodeId, told);
    this.#onNews();
  }

  [Symbol.dispose](): void {
    this.setMembers([]);
  }
}

function nameOf({ tenantId, timelineId }: StatusKey): string {
  return `${tenantId}/${timelineId}`;
}

function linkName({ id, host, pgPort }: SafekeeperAddress): string {
  return `${id}@${host}:${pgPort}`;
}
