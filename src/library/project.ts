import { parseLsn } from '../base/lsn.ts';
import type { Branch, BranchCreate, Endpoint, Project } from '../contracts/control-api.ts';
import { deleteOnce, parseTime, VarveBranch } from './branch.ts';
import type { LibraryContext } from './library-context.ts';
import { makeEndpoint, urlOf } from './open-endpoint.ts';

export interface BranchOptions {
  /** Made up where it is left out. */
  readonly name?: string | undefined;
  /** Id or name: the project's default branch where it is left out. */
  readonly parent?: string | undefined;
  /** Begins at this LSN of the parent, as PostgreSQL writes it: at its end where this and `at` are left out. */
  readonly lsn?: string | undefined;
  /** Begins at this time of the parent, of the machine's clock. Text as RFC 3339 has it. */
  readonly at?: Date | string | undefined;
}

/** A project: branches that have come of one another. */
export class VarveProject {
  /** As the API and the command line have it. */
  readonly id: string;
  readonly name: string;
  /** How to connect to its default branch, as its superuser. */
  readonly url: string;
  readonly #context: LibraryContext;

  /** @param primary of the default branch */
  constructor(context: LibraryContext, { id, name }: Project, primary: Endpoint) {
    this.#context = context;
    this.id = id;
    this.name = name;
    this.url = urlOf(primary);
  }

  /** As `makeBranch`. */
  branch(options: BranchOptions = {}): Promise<VarveBranch> {
    return makeBranch(this.#context, this.id, options);
  }

  /** Ends all sessions and deletes the project with all of its branches. May be called again. */
  async delete(): Promise<void> {
    const { client, signal } = this.#context;
    await deleteOnce(this.#context, () => client.deleteProject(this.id, signal));
  }
}

/**
 * Makes a branch, and starts its compute: clients can connect when it is there. Where that fails no branch is left.
 * @throws VarveError of the code BRANCH_NOT_FOUND, BRANCH_EXISTS; BAD_TIME, TIME_IN_FUTURE, BAD_LSN; BAD_BRANCH_POINT where
 *   the parent has no history of that LSN or time
 */
export async function makeBranch(
  context: LibraryContext,
  project: string,
  options: BranchOptions,
): Promise<VarveBranch> {
  const { client, signal } = context;
  const { branch, operationId } = await client.createBranch(project, toRequest(options), signal);
  await client.finished(operationId, signal);
  const primary = await makeEndpointOrNothing(context, project, branch);
  return new VarveBranch(context, branch, primary);
}

async function makeEndpointOrNothing(
  context: LibraryContext,
  project: string,
  branch: Branch,
): Promise<Endpoint> {
  const { client, signal } = context;
  try {
    return await makeEndpoint(context, project, branch.id, {});
  } catch (error) {
    if (!signal.aborted) await deleteOnce(context, () => client.deleteBranch(project, branch.id, signal));
    throw error;
  }
}

const toRequest = ({ name, parent, lsn, at }: BranchOptions): BranchCreate => ({
  ...(name === undefined ? {} : { name }),
  ...(parent === undefined ? {} : { parent }),
  ...(lsn === undefined ? {} : { lsn: parseLsn(lsn) }),
  ...(at === undefined ? {} : { time: parseTime(at) }),
});
