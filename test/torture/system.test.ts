import { expect, test } from 'vitest';
import { judge, Ledger } from './system/ledger.ts';
import { runSystemRound } from './system/round.ts';

const BANK = { sum: 2000, accounts: 2 };
const balanced = { sum: 2000, accounts: 2, unbalanced: [] };

test('a whole system loses nothing, and keeps nobody waiting, while its processes, disks and objects fail', async ({
  annotate,
}) => {
  const result = await runSystemRound({ seed: 4, disturbedMs: 12_000, isThorough: false });
  for (const what of result.skipped) await annotate(`skipped: ${what}`);
  expect(result).toMatchObject({ lost: 0, wrong: [], stuck: [] });
  expect(result.acknowledged).toBeGreaterThan(20);
  expect(result.kills).toBeGreaterThan(0);
  expect(result.branchWork.size).toBeGreaterThan(0);
}, 240_000);

test('the ledger finds what is lost, what cannot be there, and halves', () => {
  const ledger = new Ledger();
  const history = ledger.emptyHistory();
  const [told, untold] = [history.begin(), history.begin()];
  history.acknowledge(told);
  const expected = history.expectation(ledger.now);
  expect(judge({ ids: new Set([told.id]), ...balanced }, expected, BANK)).toEqual({ lost: [], wrong: [] });
  expect(judge({ ids: new Set([told.id, untold.id]), ...balanced }, expected, BANK).wrong).toEqual([]);
  expect(judge({ ids: new Set([untold.id]), ...balanced }, expected, BANK).lost).toEqual([told.id]);
  expect(judge({ ids: new Set([told.id, 999]), ...balanced }, expected, BANK).wrong).toHaveLength(1);
  const half = { sum: 1990, accounts: 2, unbalanced: ['account 1'] };
  expect(judge({ ids: new Set([told.id]), ...half }, expected, BANK).wrong).toHaveLength(2);
});

test('a branch has to have what was acknowledged before it was asked for, and may have what was begun until it was there', () => {
  const ledger = new Ledger();
  const parent = ledger.emptyHistory();
  const [before, open, meanwhile] = [parent.begin(), parent.begin(), parent.begin()];
  parent.acknowledge(before);
  const asked = ledger.now;
  parent.acknowledge(meanwhile);
  const left = { acknowledgedBy: asked, begunBy: ledger.now };
  const later = parent.begin();
  parent.acknowledge(later);
  const branch = ledger.historyFrom(parent.expectationAt(left));
  const { must, may } = branch.expectation(ledger.now);
  expect([...must]).toEqual([before.id]);
  expect([...may]).toEqual([before.id, open.id, meanwhile.id]);
  // What was seen once, and confirmed, stays.
  branch.confirm(new Set([open.id]));
  expect([...branch.expectation(ledger.now).must]).toEqual([before.id, open.id]);
});

test('what is acknowledged while a branch is given another history is on one of the two', () => {
  const ledger = new Ledger();
  const old = ledger.emptyHistory();
  const [before, meanwhile] = [old.begin(), old.begin()];
  old.acknowledge(before);
  old.close();
  old.acknowledge(meanwhile);
  expect([...old.expectation(ledger.now).must]).toEqual([before.id]);
  expect(old.undecided).toEqual([meanwhile]);
  const next = ledger.historyFrom({ must: new Set(), may: new Set() }, old.undecided);
  expect([...next.expectation(ledger.now).may]).toEqual([meanwhile.id]);
  old.reopen();
  expect([...old.expectation(ledger.now).must]).toEqual([before.id, meanwhile.id]);
});
