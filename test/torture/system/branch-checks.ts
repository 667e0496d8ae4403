import { setTimeout as delay } from 'node:timers/promises';
import { checkRelations } from '../../support/check-relations.ts';
import { BANK, commitLook, isServerFault, leave, patiently, readBank } from './bank.ts';
import type { BranchUnderLoad } from './branch-under-load.ts';
import { type BankFindings, type Expectation, judge, type Ledger } from './ledger.ts';

const READ_TIMEOUT_MS = 60_000;
const RETRY_MS = 200;

/** What was seen on a branch, and how it compares. */
export interface Looked extends BankFindings {
  readonly ids: ReadonlySet<number>;
}

/**
 * Looks at a branch until that works, and compares it with what it has to hold. What was seen there is durable from then on.
 * @param expected where it is not what its history says
 * @throws when `signal` is given, with what it has failed of last
 */
export async function lookAt(
  branch: BranchUnderLoad,
  ledger: Ledger,
  signal: AbortSignal,
  expected?: (now: number) => Expectation,
): Promise<Looked> {
  for (;;) {
    try {
      return await lookOnce(branch, ledger, expected ?? ((now) => branch.history.expectation(now)));
    } catch (error) {
      if (isServerFault(error)) throw error;
      branch.lastError = `${(error as { code?: string }).code ?? ''} ${(error as Error).message}`;
      if (signal.aborted) throw new Error(`${branch.name} cannot be looked at: ${branch.lastError}`);
    }
    await delay(RETRY_MS);
  }
}

async function lookOnce(
  branch: BranchUnderLoad,
  ledger: Ledger,
  expected: (now: number) => Expectation,
): Promise<Looked> {
  const { history } = branch;
  // What is acknowledged by now is there; what is begun until it was read may be.
  const { must } = expected(ledger.now);
  const client = await branch.enter();
  try {
    return await patiently(client, READ_TIMEOUT_MS, async () => {
      const state = await readBank(client);
      const { may } = expected(ledger.now);
      const acknowledgedBy = ledger.now;
      // What was committed in this millisecond is not there at its beginning.
      const timeMs = Date.now() + 1;
      const lsn = await commitLook(client);
      while (Date.now() <= timeMs) await delay(1);
      history.confirm(state.ids);
      history.points.push({ lsn, timeMs, acknowledgedBy, begunBy: ledger.now });
      return { ...judge(state, { must, may }, BANK), ids: state.ids };
    });
  } finally {
    leave(client);
  }
}

/** What amcheck has to say of a branch's tables and indexes. */
export async function checkStructure(branch: BranchUnderLoad): Promise<readonly string[]> {
  const connector = { connect: () => branch.enter() };
  const { problems } = await checkRelations(connector, 'postgres');
  return problems.map((problem) => `${branch.name}: ${problem}`);
}
