import type { LogLevel } from '../observe/log.ts';
import type { PageserverOptions } from '../pageserver/main.ts';
import type { SafekeeperOptions } from '../safekeeper/main.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

export interface SafekeepersSetup {
  readonly safekeepers: readonly SafekeeperOptions[];
  readonly logLevel: LogLevel;
}

export interface PageserverSetup {
  readonly pageserver: PageserverOptions;
  readonly logLevel: LogLevel;
}

/** Where a service is, as it says itself. */
export interface ServiceAddresses {
  readonly id: number;
  readonly pg: Address;
  readonly http: Address;
}
