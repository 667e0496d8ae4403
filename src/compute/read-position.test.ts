import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/memory-connection.ts';
import { VarveError } from '../base/errors.ts';
import type { Lsn } from '../base/lsn.ts';
import { CollectingLogger } from '../observe/log.ts';
import { ReadPosition, type StorageProgress } from './read-position.ts';

const START = 0x1000_0000 as Lsn;
const STEP = 16 * 1024 * 1024;
const INTERVAL_MS = 15_000;

interface Bed extends AsyncDisposable {
  readonly events: string[];
  readonly logger: CollectingLogger;
  /** Where storage is, from the start on. */
  progress(commitBytes: number, receivedBytes: number | undefined): void;
  pass(): Promise<void>;
  moveNow(): Promise<void>;
  failNext(): void;
}

function makeBed(): Bed {
  const clock = new ManualClock();
  const logger = new CollectingLogger();
  const events: string[] = [];
  const at = (bytes: number): Lsn => (START + bytes) as Lsn;
  let storage: StorageProgress = { commitLsn: START, pageserverProgress: undefined };
  let fails = false;
  const moved = {
    lease: {
      moveTo: async (lsn: Lsn): Promise<void> => {
        if (fails) {
          fails = false;
          throw new VarveError('unavailable', 'TEST', 'the pageserver is away');
        }
        events.push(`lease ${lsn - START}`);
      },
    },
    pages: { moveTo: (lsn: Lsn): void => void events.push(`pages ${lsn - START}`) },
  };
  const progress: StorageProgress = {
    get commitLsn() {
      return storage.commitLsn;
    },
    get pageserverProgress() {
      return storage.pageserverProgress;
    },
  };
  const position = new ReadPosition(START, moved, progress, clock, logger);
  return {
    events,
    logger,
    progress: (commitBytes, receivedBytes) => {
      const pageserverProgress =
        receivedBytes === undefined ? undefined : { lastReceivedLsn: at(receivedBytes) };
      storage = { commitLsn: at(commitBytes), pageserverProgress };
    },
    pass: async () => {
      clock.advance(INTERVAL_MS);
      await clock.yieldToOthers();
    },
    moveNow: () => position.moveNow(),
    failNext: () => {
      fails = true;
    },
    [Symbol.asyncDispose]: () => position[Symbol.asyncDispose](),
  };
}

test('pages are read where the pageserver is, once a lease keeps that', async () => {
  await using bed = makeBed();
  bed.progress(STEP * 3, STEP * 2);
  await bed.pass();
  expect(bed.events).toEqual([`lease ${STEP * 2}`, `pages ${STEP * 2}`]);
  bed.progress(STEP * 3.5, STEP * 4);
  await bed.pass();
  expect(bed.events.slice(2)).toEqual([`lease ${STEP * 3.5}`, `pages ${STEP * 3.5}`]);
});

test('it does not move for little, nor where nobody knows how far the pageserver is', async () => {
  await using bed = makeBed();
  bed.progress(STEP - 1, STEP - 1);
  await bed.pass();
  bed.progress(STEP * 5, undefined);
  await bed.pass();
  expect(bed.events).toEqual([]);
});

test('without a lease for it the old one is read on, and it is tried again', async () => {
  await using bed = makeBed();
  bed.progress(STEP, STEP);
  bed.failNext();
  await bed.pass();
  expect(bed.events).toEqual([]);
  expect(bed.logger.lines.map(({ level }) => level)).toEqual(['warn']);
  await bed.pass();
  expect(bed.events).toEqual([`lease ${STEP}`, `pages ${STEP}`]);
});

test('it moves at once where that is asked for, by any distance, and never back', async () => {
  await using bed = makeBed();
  bed.progress(STEP, 100);
  await Promise.all([bed.moveNow(), bed.moveNow()]);
  expect(bed.events).toEqual(['lease 100', 'pages 100']);
  bed.progress(STEP, 50);
  await bed.moveNow();
  expect(bed.events).toEqual(['lease 100', 'pages 100']);
});
