import { type Finding, fail, ok, warn } from './finding.ts';

export interface PortFacts {
  readonly host: string;
  readonly port: number;
  readonly state:
    | { readonly kind: 'free' }
    | { readonly kind: 'taken'; readonly owner: string | undefined; readonly isOurs: boolean }
    | { readonly kind: 'refused'; readonly reason: string };
}

/** Where clients of the project main come: a new system does not start without it. */
export function judgeClientsPort({ host, port, state }: PortFacts): Finding {
  const check = `port ${port}`;
  if (state.kind === 'free') return ok(check, `free on ${host}, for clients of main`);
  if (state.kind === 'refused') {
    const fix = 'choose an address of this machine with --host, and a port above 1023 with --port';
    return fail(check, `nobody may listen there on ${host}: ${state.reason}`, fix);
  }
  if (state.isOurs) return ok(check, 'this system has it');
  const owner = state.owner ?? 'another program';
  return fail(
    check,
    `taken on ${host} by ${owner}`,
    'choose another one with --port, or a free one with --port 0',
  );
}

/** The API and storage take other ones where somebody has theirs. */
export function judgeServicePort(what: string, { host, port, state }: PortFacts): Finding {
  const check = `port ${port}`;
  if (state.kind === 'free') return ok(check, `free on ${host}, for ${what}`);
  if (state.kind === 'refused')
    return fail(check, `nobody may listen there: ${state.reason}`, 'choose another --api-port');
  if (state.isOurs) return ok(check, 'this system has it');
  const owner = state.owner ?? 'another program';
  const fix = 'nothing, unless somebody counts on it: a free one is taken in its place';
  return warn(check, `wanted for ${what}, taken by ${owner}`, fix);
}

/** What a system that runs, or does not, says of itself. */
export type SystemFacts =
  | { readonly kind: 'none' }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'died' }
  | { readonly kind: 'silent'; readonly pid: number; readonly reason: string }
  | {
      readonly kind: 'answers';
      readonly pid: number;
      /** Storage nodes that do not answer, and why. */
      readonly away: readonly string[];
      /** Computes that have ended, and are not tried again. */
      readonly failed: readonly string[];
    };

export function judgeSystem(facts: SystemFacts, directory: string): Finding {
  const check = 'system';
  const suffix = ` --dir ${directory}`;
  if (facts.kind === 'none') return ok(check, 'there is none yet: ‘varve start’ makes one');
  if (facts.kind === 'stopped') return ok(check, 'it does not run');
  if (facts.kind === 'died') {
    return warn(
      check,
      'it does not run, and was not ended in order',
      `see ‘varve logs${suffix}’ for why; ‘varve start${suffix}’ goes on with all that was committed`,
    );
  }
  if (facts.kind === 'silent') {
    const fix = `see ‘varve logs${suffix}’, and end it with ‘varve stop --now${suffix}’: nothing that was committed is lost`;
    return fail(check, `process ${facts.pid} runs, and does not answer: ${facts.reason}`, fix);
  }
  const { away, failed, pid } = facts;
  const logs = `see ‘varve logs${suffix}’`;
  if (away.length > 0) return fail(check, `process ${pid} runs, but ${away.join('; ')}`, logs);
  if (failed.length === 0) return ok(check, `process ${pid} runs, and all of it answers`);
  return warn(
    check,
    `process ${pid} runs; these servers have failed: ${failed.join(', ')}`,
    `${logs}, and try again: ‘varve endpoint start${suffix}’`,
  );
}
