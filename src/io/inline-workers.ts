import { Admission, type AdmissionLimits } from './admission.ts';
import { throwIfCancelled } from './cancelled.ts';
import type { Clock } from './clock.ts';
import type { Files } from './files.ts';
import { getJob, type JobInput, type JobOutput, type JobTable, type Workers } from './workers.ts';

/**
 * Workers that are none: jobs run in this thread and let others have their turn between their steps. For the simulator,
 * and where a machine is too small for threads. Input and output are cloned all the same, so that no job comes to rely
 * on sharing memory.
 */
export class InlineWorkers<Table extends JobTable> implements Workers<Table> {
  readonly #jobs: Table;
  readonly #doors: { readonly files: Files; readonly clock: Clock };
  readonly #admission: Admission;

  constructor(
    jobs: Table,
    doors: { readonly files: Files; readonly clock: Clock },
    limits: AdmissionLimits = { runningMax: 1, waitingMax: 256 },
  ) {
    this.#jobs = jobs;
    this.#doors = doors;
    this.#admission = new Admission(limits);
  }

  async run<Name extends keyof Table & string>(
    name: Name,
    input: JobInput<Table[Name]>,
    signal: AbortSignal,
  ): Promise<JobOutput<Table[Name]>> {
    const { files, clock } = this.#doors;
    const job = getJob(this.#jobs, name);
    return await this.#admission.run(signal, async (either) => {
      const step = async (): Promise<void> => {
        throwIfCancelled(either);
        await clock.yieldToOthers();
        throwIfCancelled(either);
      };
      const output = await job(structuredClone(input), { files, signal: either, step });
      return structuredClone(output) as JobOutput<Table[Name]>;
    });
  }

  async close(): Promise<void> {
    await this.#admission.close();
  }
}
