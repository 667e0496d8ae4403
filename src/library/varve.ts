import { VarveError } from '../base/errors.ts';
import type { Project } from '../contracts/control-api.ts';
import type { VarveBranch } from './branch.ts';
import type { LibraryContext } from './library-context.ts';
import { openPrimary } from './open-endpoint.ts';
import { type BranchOptions, makeBranch, VarveProject } from './project.ts';

/** The project that a new system has. */
const MAIN = 'main';

/** Where a system is that runs. */
export interface VarvePlace {
  readonly directory: string;
  /** How to connect to the project main; null where somebody has deleted that, or it has no server that runs. */
  readonly url: string | null;
  /** Why it has none. */
  readonly failure?: { readonly code: string; readonly message: string } | undefined;
  readonly api: string;
}

/** A whole Varve that runs. */
export class Varve implements AsyncDisposable {
  /** Everything is below it: for `connectVarve`, and for `--dir` of the command line. */
  readonly directory: string;
  /** Where its API is, as a URL without a path. */
  readonly api: string;
  readonly #context: LibraryContext;
  readonly #url: string | null;
  readonly #failure: VarvePlace['failure'];
  readonly #letGo: () => Promise<void>;
  #stopping: Promise<void> | undefined;

  /** @param letGo gives the context's signal, and ends what is to end */
  constructor(
    context: LibraryContext,
    { directory, url, api, failure }: VarvePlace,
    letGo: () => Promise<void>,
  ) {
    this.#context = context;
    this.directory = directory;
    this.#url = url;
    this.#failure = failure;
    this.api = api;
    this.#letGo = letGo;
  }

  /**
   * How to connect to the project main, as its superuser.
   * @throws VarveError of the code PROJECT_NOT_FOUND where somebody has deleted it; what its server’s start has failed of, such as
   *   WAL_LOST: branches can be made and restored all the same
   */
  get url(): string {
    if (this.#url !== null) return this.#url;
    if (this.#failure !== undefined) {
      throw new VarveError('unavailable', this.#failure.code, this.#failure.message);
    }
    throw new VarveError('not-found', 'PROJECT_NOT_FOUND', `the project ${MAIN} was deleted`);
  }

  /** A project, which is made where there is none of that name, with the compute of its default branch. */
  async project(name: string): Promise<VarveProject> {
    const { client, signal } = this.#context;
    const project = (await this.#find(name)) ?? (await this.#make(name));
    const branches = await client.branches(project.id, signal);
    const branch = branches.find(({ isDefault }) => isDefault);
    if (branch === undefined) {
      throw new VarveError('not-found', 'BRANCH_NOT_FOUND', `the project ${name} has no default branch`);
    }
    return new VarveProject(this.#context, project, await openPrimary(this.#context, project.id, branch.id));
  }

  async #find(name: string): Promise<Project | undefined> {
    const projects = await this.#context.client.projects(this.#context.signal);
    return projects.find((project) => project.name === name);
  }

  async #make(name: string): Promise<Project> {
    const { client, signal } = this.#context;
    const { project, operationId } = await client.createProject({ name }, signal);
    await client.finished(operationId, signal);
    return project;
  }

  /** A new branch of the project main, whose compute runs. @throws as VarveProject.branch */
  branch(options: BranchOptions = {}): Promise<VarveBranch> {
    return makeBranch(this.#context, MAIN, options);
  }

  /**
   * Ends everything in order; a temporary directory is removed. What connectVarve has given only lets go of a system that
   * somebody else has started. May be called again.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#letGo();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
