import { setTimeout as delay } from 'node:timers/promises';
import { VarveError } from '../../src/base/errors.ts';
import type { AttachedMode } from '../../src/contracts/pageserver-api-config.ts';
import { timed } from '../support/processor-time.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import type { MigratedTenant } from './migration-clients.ts';
import type { MigrationNode } from './migration-node.ts';
import type { PageFindings } from './page-readers.ts';
import { eventually } from './within.ts';

const FLUSH_MS = 2000;
const CATCH_UP_MS = 30_000;
const RETRY_MS = 10;
/** Within it every migration is over, whatever clients do; restarts in its midst come on top. */
const MIGRATION_MS_MAX = 5000;
const RESTART_MS_MAX = 5000;

interface MigrationsOptions {
  readonly nodes: readonly [MigrationNode, MigrationNode];
  readonly tenant: MigratedTenant;
  readonly findings: PageFindings;
  readonly random: SeededRandom;
  readonly onEvent: (text: string) => void;
}

/** What a control plane does to a tenant that is to be elsewhere, and what comes in between. */
export class Migrations {
  readonly actions = new Map<string, number>();
  slowestMs = 0;
  finished = 0;
  readonly #options: MigrationsOptions;
  /** Of all so far. */
  #restartsMs = 0;

  constructor(options: MigrationsOptions) {
    this.#options = options;
  }

  /** Moves the tenant to the other node. */
  async migrate(): Promise<void> {
    await this.#timed('migrate', async () => {
      const { source, target, generation } = this.#begin();
      await source.setLocation('AttachedStale', generation, FLUSH_MS);
      this.#checkTold(source);
      await target.setLocation('AttachedMulti', generation + 1);
      await this.#catchUp(target);
      this.#options.tenant.at = target;
      await source.setLocation('Detached', undefined);
      // In a new generation, with a full stop and start under those who read; or in place.
      const isAnew = this.#options.random.chance(0.7);
      await target.setLocation('AttachedSingle', generation + (isAnew ? 2 : 1));
    });
    this.finished++;
  }

  /** Does one thing, as the seed has it. */
  async act(): Promise<void> {
    const { random } = this.#options;
    const dice = random.fraction();
    if (dice < 0.5) await this.migrate();
    else if (dice < 0.65) await this.#breakOff();
    else if (dice < 0.8) await this.#migrateImpatiently();
    else if (dice < 0.9) await this.#restartInTheMidst();
    else await this.#attachAnew();
    await delay(random.between(0, 300));
  }

  /** The target is given up: the source takes the tenant back, in a generation above the target's. */
  async #breakOff(): Promise<void> {
    await this.#timed('break off', async () => {
      const { source, target, generation } = this.#begin();
      await source.setLocation('AttachedStale', generation, FLUSH_MS);
      await target.setLocation('AttachedMulti', generation + 1);
      if (this.#options.random.chance(0.5)) await this.#catchUp(target);
      await target.setLocation('Detached', undefined);
      await source.setLocation('AttachedSingle', generation + 2);
    });
  }

  /** Each request is made several times at once: one is carried out, and the others are told to come again. */
  async #migrateImpatiently(): Promise<void> {
    await this.#timed('migrate impatiently', async () => {
      const { source, target, generation } = this.#begin();
      await this.#insist(source, 'AttachedStale', generation);
      await this.#insist(target, 'AttachedMulti', generation + 1);
      await this.#catchUp(target);
      this.#options.tenant.at = target;
      await this.#insist(source, 'Detached', undefined);
      await this.#insist(target, 'AttachedSingle', generation + 2);
    });
    this.finished++;
  }

  async #insist(
    node: MigrationNode,
    mode: AttachedMode | 'Detached',
    generation: number | undefined,
  ): Promise<void> {
    const once = async (): Promise<void> => {
      for (;;) {
        try {
          return await node.setLocation(mode, generation, FLUSH_MS);
        } catch (error) {
          const isRetried = error instanceof VarveError && ['conflict', 'unavailable'].includes(error.kind);
          // One of several has detached it before.
          if (error instanceof VarveError && error.code === 'TENANT_NOT_FOUND') return;
          if (!isRetried) throw error;
        }
        await delay(RETRY_MS);
      }
    };
    await Promise.all([once(), once(), once()]);
  }

  /** Source and target are restarted when both have the tenant. */
  async #restartInTheMidst(): Promise<void> {
    await this.#timed('restart in the midst', async () => {
      const { source, target, generation } = this.#begin();
      const { tenant } = this.#options;
      await source.setLocation('AttachedStale', generation, FLUSH_MS);
      await target.setLocation('AttachedMulti', generation + 1);
      await this.#restart(source);
      this.#checkMode(source, 'AttachedStale', generation);
      this.#checkTold(source);
      await this.#catchUp(source);
      await this.#restart(target);
      this.#checkMode(target, 'AttachedMulti', generation + 2);
      await this.#catchUp(target);
      tenant.at = target;
      await source.setLocation('Detached', undefined);
      await target.setLocation('AttachedSingle', generation + 2);
    });
    this.finished++;
  }

  /** Where it is, in a newer generation. */
  async #attachAnew(): Promise<void> {
    await this.#timed('attach anew', async () => {
      const { source, generation } = this.#begin();
      await source.setLocation('AttachedSingle', generation + 1);
    });
  }

  async #restart(node: MigrationNode): Promise<void> {
    const ms = await timed(() => node.restart());
    this.#restartsMs += ms;
    if (ms > RESTART_MS_MAX) this.#options.findings.stuck.push(`a restart took ${ms.toFixed(0)} ms`);
  }

  #begin(): { source: MigrationNode; target: MigrationNode; generation: number } {
    const { nodes, tenant } = this.#options;
    const source = tenant.at;
    const target = source === nodes[0] ? nodes[1] : nodes[0];
    const generation = source.location?.generation;
    if (generation === undefined || generation === null) throw new Error('the tenant is nowhere');
    return { source, target, generation };
  }

  /** The node has all that clients may have seen elsewhere. */
  async #catchUp(node: MigrationNode): Promise<void> {
    const { model } = this.#options.tenant;
    const { walEnd } = model;
    await eventually(CATCH_UP_MS, 'the target lacks WAL', async () => {
      const active = node.tenant?.timelines[0];
      return active !== undefined && active.timeline.lastRecordLsn >= walEnd;
    });
  }

  #checkTold(node: MigrationNode): void {
    const told = node.toldRemoteLsn(this.#options.tenant.model);
    if (told !== undefined && told !== 0)
      this.#options.findings.wrong.push(`a stale node says that ${told} is in the store`);
  }

  #checkMode(node: MigrationNode, mode: AttachedMode, generation: number): void {
    const { location } = node;
    if (location?.mode === mode && location.generation === generation) return;
    this.#options.findings.wrong.push(`after a restart ${mode} ${generation} is ${JSON.stringify(location)}`);
  }

  async #timed(what: string, action: () => Promise<void>): Promise<void> {
    const { findings, onEvent } = this.#options;
    const restartsBeforeMs = this.#restartsMs;
    const totalMs = await timed(action);
    const ms = totalMs - (this.#restartsMs - restartsBeforeMs);
    this.actions.set(what, (this.actions.get(what) ?? 0) + 1);
    this.slowestMs = Math.max(this.slowestMs, ms);
    onEvent(`${what}: ${ms.toFixed(0)} ms`);
    if (ms > MIGRATION_MS_MAX) findings.stuck.push(`${what} took ${ms.toFixed(0)} ms`);
  }
}
