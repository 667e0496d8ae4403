import type { Operation } from '../../contracts/control-api.ts';
import type { Queries } from '../database/database.ts';
import type { ControlParts } from '../parts.ts';

/** Most that one answer has. */
const LISTED_MAX = 200;

const operationQuery = (queries: Queries) => queries.selectFrom('operations').selectAll();

type Row = Awaited<ReturnType<ReturnType<typeof operationQuery>['execute']>>[number];

export async function findOperation(parts: ControlParts, id: string): Promise<Operation | undefined> {
  const row = await parts.database.query((queries) =>
    operationQuery(queries).where('id', '=', id).executeTakeFirst(),
  );
  return row === undefined ? undefined : toOperation(parts, row);
}

/** The latest first. */
export async function listOperations(parts: ControlParts, isUnfinishedOnly: boolean): Promise<Operation[]> {
  const rows = await parts.database.query((queries) => {
    const all = operationQuery(queries).orderBy('created_at', 'desc').orderBy('id').limit(LISTED_MAX);
    return (isUnfinishedOnly ? all.where('state', 'in', ['running', 'undoing']) : all).execute();
  });
  return rows.map((row) => toOperation(parts, row));
}

const toOperation = ({ runner }: ControlParts, row: Row): Operation => ({
  id: row.id,
  kind: row.kind,
  projectId: row.project_id,
  branchId: row.branch_id,
  endpointId: row.endpoint_id,
  state: row.state,
  step: runner.stepOf(row.id) ?? row.step,
  attempts: row.attempts,
  error: row.error,
  createdAt: row.created_at.getTime(),
  finishedAt: row.finished_at?.getTime() ?? null,
});
