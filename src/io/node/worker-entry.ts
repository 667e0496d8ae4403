import { workerData } from 'node:worker_threads';
import { toTransferredError } from '../../base/error-transfer.ts';
import { throwIfCancelled } from '../cancelled.ts';
import { getJob, type JobTable } from '../workers.ts';
import { type FilesEngine, openFilesEngine } from './files-engine.ts';
import type { JobReply, JobRequest, WorkerSetup } from './worker-protocol.ts';

const { jobsModule, filesEngine } = workerData as WorkerSetup;
let engine: FilesEngine | undefined;

/** What a worker thread calls for each job (Piscina, "filename" and "name"). */
export async function runJob({ name, input, isCancelled }: JobRequest): Promise<JobReply> {
  try {
    const { jobs } = (await import(jobsModule)) as { readonly jobs: JobTable };
    const flag = new Int32Array(isCancelled);
    const cancellation = new AbortController();
    const step = async (): Promise<void> => {
      if (Atomics.load(flag, 0) !== 0) cancellation.abort();
      throwIfCancelled(cancellation.signal);
    };
    engine ??= openFilesEngine(filesEngine);
    const context = { files: engine.files, signal: cancellation.signal, step };
    const output = await getJob(jobs, name)(input, context);
    // What cannot be cloned is to fail here: when it is posted, it would end the thread.
    return { isDone: true, output: structuredClone(output) };
  } catch (error) {
    return { isDone: false, error: toTransferredError(error) };
  }
}
