import { VarveError } from '../base/errors.ts';
import type { ControlNode } from '../contracts/control-api-status.ts';
import type { MakeEndpointManager } from '../contracts/endpoint-manager.ts';
import type { TokenClaims } from '../contracts/token.ts';
import { HttpApp } from '../http/app.ts';
import { addHealthRoutes } from '../http/health-routes.ts';
import type { Clock } from '../io/clock.ts';
import type { Files } from '../io/files.ts';
import type { Http, HttpHandler } from '../io/http.ts';
import type { Random } from '../io/random.ts';
import type { Listener } from '../io/sockets.ts';
import type { Logger } from '../observe/log.ts';
import { Metrics } from '../observe/metrics.ts';
import { loadIdentity, loadVerifier, type TlsPaths } from '../service/credentials.ts';
import { checkListen, type TcpAddress } from '../service/listen-policy.ts';
import { Branches } from './branches.ts';
import { Database, type DatabaseDoor } from './database/database.ts';
import { EndpointWatch } from './endpoints/endpoint-watch.ts';
import { Endpoints } from './endpoints/endpoints.ts';
import { Generations } from './generations.ts';
import { addBranchRoutes } from './http/branch-routes.ts';
import type { ControlRoutes } from './http/carry-out.ts';
import { addEndpointRoutes } from './http/endpoint-routes.ts';
import { addProjectRoutes, addRoleRoutes } from './http/project-routes.ts';
import { addSystemRoutes, addUpcallRoutes } from './http/system-routes.ts';
import { operationKinds } from './operations/kinds.ts';
import { OperationRunner } from './operations/runner.ts';
import type { ControlParts, ControlSettings } from './parts.ts';
import { Projects } from './projects.ts';
import { Roles } from './roles.ts';
import type { Elect } from './storage/head.ts';
import { type StorageAccess, StorageNodes } from './storage/storage-nodes.ts';
import { TimelineEffects } from './storage/timeline-effects.ts';
import { Upkeep } from './upkeep.ts';

const SETTINGS_DEFAULT: ControlSettings = {
  safekeepersPerTimeline: 3,
  suspendAfterSeconds: 300,
  endpointHost: '127.0.0.1',
};

export interface ControlOptions {
  /** Of the program. */
  readonly version: string;
  readonly listen: TcpAddress;
  /** PEM file, or directory of such, with the public keys of tokens. Without it none are asked for. */
  readonly tokenKeysPath?: string;
  /** Let in everybody on a network, where there are no keys. */
  readonly allowsInsecureListen?: boolean;
  /** PEM files: it speaks TLS only. */
  readonly tls?: TlsPaths;
  /** Those that are known by now; others may come by `setNode`. */
  readonly nodes?: readonly ControlNode[];
  /** What is shown to storage, and who is believed. */
  readonly storage?: Omit<StorageAccess, 'http' | 'clock'>;
  /** Makes the tokens of computes, where storage asks for some. */
  readonly issueToken?: (claims: TokenClaims) => Promise<string>;
  readonly settings?: Partial<ControlSettings>;
}

export interface ControlDoors {
  readonly database: DatabaseDoor;
  readonly http: Http;
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly elect: Elect;
  /** Without it no computes are run from here. */
  readonly makeEndpointManager?: MakeEndpointManager;
}

interface Pieces {
  readonly listener: Listener;
  readonly handler: HttpHandler;
  readonly upkeep: Upkeep;
  readonly lost: Promise<Error>;
}

/** The control plane: what there is, who has it, and what becomes of it. Its state is in a database, and nothing but that. */
export class ControlService implements AsyncDisposable {
  readonly projects: Projects;
  readonly branches: Branches;
  readonly endpoints: Endpoints;
  readonly roles: Roles;
  /** The HTTP API without a socket: for who is in the same process. */
  readonly handler: HttpHandler;
  /** Resolves with why, when the database has been lost: this is to be closed then, and started anew. */
  readonly lost: Promise<Error>;
  readonly #parts: ControlParts;
  readonly #listener: Listener;
  readonly #upkeep: Upkeep;
  #closing: Promise<void> | undefined;

  private constructor(parts: ControlParts, routes: ControlRoutes, pieces: Pieces) {
    this.#parts = parts;
    this.projects = routes.projects;
    this.branches = routes.branches;
    this.endpoints = routes.endpoints;
    this.roles = routes.roles;
    this.handler = pieces.handler;
    this.#listener = pieces.listener;
    this.#upkeep = pieces.upkeep;
    this.lost = pieces.lost;
  }

  /**
   * Starts everything, or nothing: goes on with operations that an earlier one has left, and with endpoints.
   * @throws VarveError: what the options ask for cannot be had; as Database.open
   */
  static async start(options: ControlOptions, doors: ControlDoors): Promise<ControlService> {
    checkOptions(options, doors.logger);
    await using starting = new AsyncDisposableStack();
    const ending = new AbortController();
    const { promise: lost, resolve: onLost } = Promise.withResolvers<Error>();
    const database = await Database.open(doors.database, doors.clock, ending.signal, (error) => {
      doors.logger.error('The control plane’s database is lost', { error });
      const reason = `the control plane's database is lost: ${error.message}`;
      onLost(new VarveError('unavailable', 'CONTROL_DATABASE_LOST', reason, {}, error));
    });
    starting.defer(() => database.close());
    const parts = makeParts(options, doors, database);
    starting.defer(() => parts.runner.close());
    for (const node of options.nodes ?? []) await parts.nodes.put(node);
    const upkeep: Upkeep = new Upkeep(parts, () => routes.branches);
    starting.defer(() => upkeep.close());
    const routes: ControlRoutes = {
      parts,
      version: options.version,
      projects: new Projects(parts),
      branches: new Branches(parts, () => upkeep.arm()),
      endpoints: new Endpoints(parts),
      roles: new Roles(parts),
    };
    await upkeep.tidy();
    const handler = await makeHandler(options, doors, routes);
    const identity = await loadIdentity(options.tls, doors.files);
    const listener = await doors.http.serve({
      ...options.listen,
      ...(identity === undefined ? {} : { identity }),
      handler,
    });
    starting.use(listener);
    // Pageservers can ask for their generations from here on, and need to before any operation gets on.
    await parts.runner.resume();
    await parts.watch.resume();
    upkeep.arm();
    starting.move();
    return new ControlService(parts, routes, { listener, handler, upkeep, lost });
  }

  /** With the port that was taken. */
  get address(): TcpAddress {
    const { address } = this.#listener;
    if ('path' in address) throw new TypeError(`${address.path} is no TCP address`);
    return address;
  }

  /** A node has come, or has moved. */
  async setNode(node: ControlNode): Promise<void> {
    await this.#parts.nodes.put(node);
  }

  /** What is under way is left to the next one, and nothing is begun any more. */
  async leaveOperations(): Promise<void> {
    await this.#parts.runner.close();
  }

  /** What is under way is left to the next one. Computes stop in order. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const { runner, endpoints, database } = this.#parts;
    const endings = await Promise.allSettled([
      this.#listener.close(),
      this.#upkeep.close(),
      runner.close(),
      endpoints?.close(),
    ]);
    await database.close();
    for (const ending of endings) if (ending.status === 'rejected') throw ending.reason;
  }
}

function makeParts(
  options: ControlOptions,
  doors: ControlDoors,
  database: Database,
): ControlParts & { readonly watch: EndpointWatch } {
  const { clock, random, logger, http, elect } = doors;
  const runner = new OperationRunner({ database, clock, random, logger });
  const nodes = new StorageNodes(database, { ...options.storage, http, clock });
  const watch: EndpointWatch = new EndpointWatch(() => parts);
  const endpoints = doors.makeEndpointManager?.(watch);
  const parts = {
    database,
    runner,
    nodes,
    effects: new TimelineEffects({ database, nodes, endpoints, elect, clock }),
    endpoints,
    issueToken: options.issueToken,
    clock,
    random,
    logger,
    settings: { ...SETTINGS_DEFAULT, ...options.settings },
    watch,
  };
  for (const kind of operationKinds(parts)) runner.register(kind);
  return parts;
}

async function makeHandler(
  options: ControlOptions,
  doors: ControlDoors,
  routes: ControlRoutes,
): Promise<HttpHandler> {
  const metrics = new Metrics(doors.clock);
  const common = {
    clock: doors.clock,
    random: doors.random,
    logger: doors.logger,
    metrics,
    version: options.version,
    verifier: await loadVerifier(options.tokenKeysPath, doors),
    alwaysProblem: true,
  };
  const app = new HttpApp({ ...common, title: 'Varve control plane', gate: 'control' });
  addHealthRoutes(app, () => ({ is_ready: true, missing: [] }));
  addProjectRoutes(app, routes);
  addRoleRoutes(app, routes);
  addBranchRoutes(app, routes);
  addEndpointRoutes(app, routes);
  addSystemRoutes(app, routes);
  const upcalls = new HttpApp({
    ...common,
    title: 'Varve control plane, for pageservers',
    gate: 'control-upcall',
  });
  addUpcallRoutes(upcalls, new Generations(routes.parts.database));
  return (request, peer) =>
    new URL(request.url).pathname.startsWith('/upcall/')
      ? upcalls.handler(request, peer)
      : app.handler(request, peer);
}

function checkOptions({ listen, tokenKeysPath, allowsInsecureListen }: ControlOptions, logger: Logger): void {
  const hasKeys = tokenKeysPath !== undefined;
  if (allowsInsecureListen !== true) checkListen(listen, hasKeys, '--auth-public-key-path');
  if (!hasKeys) logger.warn('without token keys everybody who can connect may do everything');
}
