import { z } from 'zod';
import { BadRequestError, VarveError } from '../base/errors.ts';
import {
  type Branch,
  type BranchAnswer,
  type BranchCreate,
  type BranchPatch,
  type BranchReset,
  type BranchRestore,
  branchAnswerSchema,
  branchCreateSchema,
  branchListSchema,
  branchPatchSchema,
  branchResetSchema,
  branchRestoreSchema,
  branchSchema,
  CONTROL_API,
  type DeletionAnswer,
  deletionAnswerSchema,
  type Endpoint,
  type EndpointAnswer,
  type EndpointCreate,
  type EndpointPatch,
  endpointAnswerSchema,
  endpointCreateSchema,
  endpointListSchema,
  endpointPatchSchema,
  endpointSchema,
  type Operation,
  operationSchema,
  type Project,
  type ProjectAnswer,
  type ProjectCreate,
  projectAnswerSchema,
  projectCreateSchema,
  projectListSchema,
  projectSchema,
} from '../contracts/control-api.ts';
import { type SystemStatus, systemStatusSchema } from '../contracts/control-api-status.ts';
import { pause } from '../io/retry-delay.ts';
import { type ClientRequest, HttpClient, type HttpClientOptions } from './http-client.ts';

/** Between two looks at an operation that goes on. */
const OPERATION_POLL_MS = 100;

type Method = ClientRequest['method'];

/** What a control plane of ours is asked, as docs/control.md has it. Projects, branches and endpoints are named by id or name. */
export class ControlClient {
  readonly #http: HttpClient;
  readonly #options: HttpClientOptions;

  constructor(options: HttpClientOptions) {
    this.#options = options;
    this.#http = new HttpClient(options);
  }

  async projects(signal: AbortSignal): Promise<Project[]> {
    return (await this.#ask('GET', '/projects', projectListSchema, signal)).projects;
  }

  project(project: string, signal: AbortSignal): Promise<Project> {
    return this.#ask('GET', `/projects/${part(project)}`, projectSchema, signal);
  }

  createProject(body: ProjectCreate, signal: AbortSignal): Promise<ProjectAnswer> {
    return this.#ask('POST', '/projects', projectAnswerSchema, signal, z.encode(projectCreateSchema, body));
  }

  deleteProject(project: string, signal: AbortSignal): Promise<DeletionAnswer> {
    return this.#ask('DELETE', `/projects/${part(project)}`, deletionAnswerSchema, signal);
  }

  async branches(project: string, signal: AbortSignal): Promise<Branch[]> {
    return (await this.#ask('GET', `/projects/${part(project)}/branches`, branchListSchema, signal)).branches;
  }

  branch(project: string, branch: string, signal: AbortSignal): Promise<Branch> {
    return this.#ask('GET', branchPath(project, branch), branchSchema, signal);
  }

  createBranch(project: string, body: BranchCreate, signal: AbortSignal): Promise<BranchAnswer> {
    return this.#ask(
      'POST',
      `/projects/${part(project)}/branches`,
      branchAnswerSchema,
      signal,
      z.encode(branchCreateSchema, body),
    );
  }

  changeBranch(
    project: string,
    branch: string,
    body: BranchPatch,
    signal: AbortSignal,
  ): Promise<BranchAnswer> {
    return this.#ask(
      'PATCH',
      branchPath(project, branch),
      branchAnswerSchema,
      signal,
      z.encode(branchPatchSchema, body),
    );
  }

  deleteBranch(project: string, branch: string, signal: AbortSignal): Promise<DeletionAnswer> {
    return this.#ask('DELETE', branchPath(project, branch), deletionAnswerSchema, signal);
  }

  resetBranch(
    project: string,
    branch: string,
    body: BranchReset,
    signal: AbortSignal,
  ): Promise<BranchAnswer> {
    return this.#ask(
      'POST',
      `${branchPath(project, branch)}/reset`,
      branchAnswerSchema,
      signal,
      z.encode(branchResetSchema, body),
    );
  }

  restoreBranch(
    project: string,
    branch: string,
    body: BranchRestore,
    signal: AbortSignal,
  ): Promise<BranchAnswer> {
    return this.#ask(
      'POST',
      `${branchPath(project, branch)}/restore`,
      branchAnswerSchema,
      signal,
      z.encode(branchRestoreSchema, body),
    );
  }

  async endpoints(project: string, branch: string, signal: AbortSignal): Promise<Endpoint[]> {
    const path = `${branchPath(project, branch)}/endpoints`;
    return (await this.#ask('GET', path, endpointListSchema, signal)).endpoints;
  }

  createEndpoint(
    project: string,
    branch: string,
    body: EndpointCreate,
    signal: AbortSignal,
  ): Promise<EndpointAnswer> {
    return this.#ask(
      'POST',
      `${branchPath(project, branch)}/endpoints`,
      endpointAnswerSchema,
      signal,
      z.encode(endpointCreateSchema, body),
    );
  }

  endpoint(project: string, endpoint: string, signal: AbortSignal): Promise<Endpoint> {
    return this.#ask('GET', endpointPath(project, endpoint), endpointSchema, signal);
  }

  changeEndpoint(
    project: string,
    endpoint: string,
    body: EndpointPatch,
    signal: AbortSignal,
  ): Promise<EndpointAnswer> {
    return this.#ask(
      'PATCH',
      endpointPath(project, endpoint),
      endpointAnswerSchema,
      signal,
      z.encode(endpointPatchSchema, body),
    );
  }

  deleteEndpoint(project: string, endpoint: string, signal: AbortSignal): Promise<DeletionAnswer> {
    return this.#ask('DELETE', endpointPath(project, endpoint), deletionAnswerSchema, signal);
  }

  /** @param what is to be done with its compute */
  moveEndpoint(
    project: string,
    endpoint: string,
    what: 'start' | 'stop' | 'suspend' | 'restart',
    signal: AbortSignal,
  ): Promise<EndpointAnswer> {
    return this.#ask('POST', `${endpointPath(project, endpoint)}/${what}`, endpointAnswerSchema, signal);
  }

  operation(id: string, signal: AbortSignal): Promise<Operation> {
    return this.#ask('GET', `/operations/${part(id)}`, operationSchema, signal);
  }

  status(signal: AbortSignal): Promise<SystemStatus> {
    return this.#ask('GET', '/status', systemStatusSchema, signal);
  }

  /**
   * Waits until an operation is over.
   * @throws VarveError ‘conflict’ / OPERATION_FAILED where it was undone, with why
   */
  async finished(operationId: string | null, signal: AbortSignal): Promise<void> {
    if (operationId === null) return;
    for (;;) {
      const { state, error } = await this.operation(operationId, signal);
      if (state === 'done') return;
      if (state === 'failed') {
        const reason = error === null ? 'it was undone' : `${error.code}: ${error.message}`;
        throw new VarveError('conflict', 'OPERATION_FAILED', reason);
      }
      await pause(this.#options.clock, OPERATION_POLL_MS, signal);
      signal.throwIfAborted();
    }
  }

  #ask<Answer extends z.ZodType>(
    method: Method,
    path: string,
    schema: Answer,
    signal: AbortSignal,
    body?: unknown,
  ): Promise<z.output<Answer>> {
    const request = { method, path: CONTROL_API + path, signal };
    return this.#http.getJson(body === undefined ? request : { ...request, body }, schema);
  }
}

/** A name or an id, as a part of a path. @throws BadRequestError BAD_NAME for what would make another path of it */
function part(text: string): string {
  if (text !== '' && text !== '.' && text !== '..') return encodeURIComponent(text);
  throw new BadRequestError('BAD_NAME', `“${text}” names nothing`);
}
const branchPath = (project: string, branch: string): string =>
  `/projects/${part(project)}/branches/${part(branch)}`;
const endpointPath = (project: string, endpoint: string): string =>
  `/projects/${part(project)}/endpoints/${part(endpoint)}`;
