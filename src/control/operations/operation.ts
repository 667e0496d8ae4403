import type { z } from 'zod';
import type { TenantId } from '../../base/ids.ts';
import type { Change } from '../database/database.ts';

/** An operation as it is written down: a change that goes beyond the database. */
export interface OperationRow<Parameters> {
  readonly id: string;
  readonly projectId: TenantId;
  readonly branchId: string | null;
  readonly endpointId: string | null;
  readonly parameters: Parameters;
}

/** What an operation is to be written down with. */
export interface NewOperation<Parameters>
  extends Omit<OperationRow<Parameters>, 'id' | 'branchId' | 'endpointId'> {
  readonly kind: string;
  readonly branchId?: string;
  readonly endpointId?: string;
}

/** Writes an operation down, within the change that is its intent; it begins when that is durable. Gives its id. */
export type Begin = (operation: NewOperation<unknown>) => Promise<string>;

/** What the end of an operation changes, in the transaction that says that it is over. */
export type EndChange = (change: Change, begin: Begin) => Promise<void>;

export interface OperationContext {
  /** Given when the control plane ends. The next one goes on from the beginning of the operation. */
  readonly signal: AbortSignal;
  /** An attempt has been made before, by this process or another one: what it has done may be there. */
  readonly isRepeated: boolean;
  /** Says what is being done, for whoever looks. */
  step(name: string): void;
  /** Nobody else changes this endpoint until the operation's change is durable, or this attempt has failed. */
  lockEndpoint(endpointId: string): Promise<void>;
}

/**
 * A kind of operation. Its effects must be such that they can be repeated: a process that is killed says nothing of how far it
 * has come, and the next one begins from the beginning.
 */
export interface OperationKind<Schema extends z.ZodType> {
  readonly kind: string;
  readonly parameters: Schema;
  /** Does what goes beyond the database, and gives what is to be changed in it in the end. */
  execute(operation: OperationRow<z.output<Schema>>, context: OperationContext): Promise<EndChange>;
  /** Takes back all that `execute` may have done. Without it the operation is tried until it works. */
  undo?(operation: OperationRow<z.output<Schema>>, context: OperationContext): Promise<EndChange>;
  /** false: the first failure is final, whatever it is. */
  readonly isRetried?: boolean;
}

export type AnyKind = OperationKind<z.ZodType>;
