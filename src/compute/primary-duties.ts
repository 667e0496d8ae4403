import { VarveError } from '../base/errors.ts';
import type { StartSetHeader } from '../contracts/start-set.ts';
import { untilCancelled } from '../io/cancelled.ts';
import type { ServerProgram } from '../io/servers.ts';
import type { BackPressureReason } from '../proposer/back-pressure.ts';
import { PostgresSource } from '../proposer/postgres-source.ts';
import type { Proposer } from '../proposer/proposer.ts';
import { applySpec, hasObjects } from './apply-spec.ts';
import type { LazyDirectory } from './lazy/lazy-directory.ts';
import { PROPOSER_NAME, SUPERUSER } from './setting-rules.ts';
import { connectToStarted, type StartContext } from './start-context.ts';
import { SubscriptionGuard } from './subscription-guard.ts';

/** A stock server's directory that storage has made stays on its first timeline. */
const POSTGRES_TIMELINE_ID = 1;

/** What has to be done about a server that writes, from its start on. */
export class PrimaryDuties {
  readonly proposer: Proposer;
  readonly #context: StartContext;
  readonly #program: ServerProgram;

  constructor(context: StartContext, proposer: Proposer, program: ServerProgram) {
    this.#context = context;
    this.proposer = proposer;
    this.#program = program;
  }

  /** The first WAL of the server is the checkpoint that it began at: when that is committed, so will be what follows. */
  async attach(header: StartSetHeader): Promise<void> {
    const { proposer } = this;
    const { listen } = this.#context.options;
    const { systemIdentifier, walSegmentBytes, postgresMajor } = header;
    const source = new PostgresSource(
      {
        address: { path: `${this.#context.directory.socketPath}/.s.PGSQL.${listen.port}` },
        user: SUPERUSER,
        password: undefined,
        applicationName: PROPOSER_NAME,
        // From then on the server keeps all WAL that has not been read.
        slot: PROPOSER_NAME,
        makesSlot: true,
        expectations: { systemIdentifier, timelineId: POSTGRES_TIMELINE_ID, segmentBytes: walSegmentBytes },
      },
      this.#context.doors,
    );
    const committed = Promise.withResolvers<void>();
    using _listening = proposer.onCommit((lsn) => {
      if (lsn > proposer.startLsn) committed.resolve();
    });
    proposer.attach(source, { pgVersion: postgresMajor * 10_000, systemIdentifier });
    await this.#whileServed(committed.promise);
  }

  /** Waits for what comes only from a server whose WAL is taken. */
  async #whileServed<Result>(action: Promise<Result>): Promise<Result> {
    const ended = Promise.race([
      this.proposer.ended.then((error) => {
        throw error ?? new VarveError('cancelled', 'CLOSING', 'the proposer was closed');
      }),
      this.#program.ended.then((how) => {
        throw new VarveError('unavailable', 'POSTGRES_ENDED', `the server ended: ${how}`);
      }),
    ]);
    // Whichever ends later has nobody left to tell.
    ended.catch(() => undefined);
    action.catch(() => undefined);
    return await untilCancelled(this.#context.signal, Promise.race([action, ended]));
  }

  /** Roles and databases. @throws as applySpec */
  applySpec(): Promise<void> {
    return this.#whileServed(this.#applySpec());
  }

  async #applySpec(): Promise<void> {
    if (!hasObjects(this.#context.options)) return;
    const { random, logger } = this.#context.doors;
    await this.#context.times.time('spec', async () => {
      const client = await connectToStarted(this.#context);
      try {
        await applySpec(client, this.#context.options, random, logger);
      } finally {
        await client.close();
      }
    });
  }

  guardSubscriptions(): void {
    const { clock, logger } = this.#context.doors;
    const guard = new SubscriptionGuard(
      (database, signal) => connectToStarted(this.#context, database, signal),
      () => this.proposer.commitLsn,
      clock,
      logger,
    );
    this.#context.undo.use(guard);
  }

  /** While storage is too far behind, nobody writes WAL: to hold acknowledgements back would slow down nothing but commits. */
  holdBack(lazy: LazyDirectory): void {
    const { proposer } = this;
    const { logger } = this.#context.doors;
    const update = (reason: BackPressureReason | undefined): void => {
      lazy.holdWal(reason !== undefined);
      if (reason === undefined) logger.info('Writing goes on');
      // A load that writes faster than safekeepers is no trouble, but for its own time.
      else if (reason === 'commit-lag') logger.info('Writing is held back', { reason });
      else logger.warn('Writing is held back', { reason });
    };
    this.#context.undo.use(proposer.onBackPressure(update));
    if (proposer.backPressure !== undefined) update(proposer.backPressure);
  }
}
