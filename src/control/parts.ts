import type { EndpointManager } from '../contracts/endpoint-manager.ts';
import type { TokenClaims } from '../contracts/token.ts';
import type { Clock } from '../io/clock.ts';
import type { Random } from '../io/random.ts';
import type { Logger } from '../observe/log.ts';
import type { Database } from './database/database.ts';
import type { OperationRunner } from './operations/runner.ts';
import type { StorageNodes } from './storage/storage-nodes.ts';
import type { TimelineEffects } from './storage/timeline-effects.ts';

export interface ControlSettings {
  /** Of a new timeline. */
  readonly safekeepersPerTimeline: number;
  /** Of an endpoint that does not say. */
  readonly suspendAfterSeconds: number;
  /** Where endpoints are listened at. */
  readonly endpointHost: string;
}

/** What the parts of the control plane have of each other. */
export interface ControlParts {
  readonly database: Database;
  readonly runner: OperationRunner;
  readonly nodes: StorageNodes;
  readonly effects: TimelineEffects;
  /** undefined: no computes are run from here. */
  readonly endpoints: EndpointManager | undefined;
  /** Makes tokens, where storage asks for them. */
  readonly issueToken: ((claims: TokenClaims) => Promise<string>) | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly settings: ControlSettings;
}
