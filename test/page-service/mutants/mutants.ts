import type { Edit, Mutant } from '../../support/mutants.ts';
import type { SCENARIOS } from './scenarios.ts';

/** A mutant, and what must find it. */
export interface PageServiceMutant extends Mutant {
  readonly scenario: keyof typeof SCENARIOS;
}

const mutant = (
  name: string,
  scenario: PageServiceMutant['scenario'],
  file: string,
  ...edits: readonly (readonly [search: string, replacement: string])[]
): PageServiceMutant => ({
  name,
  scenario,
  seedsMax: 1,
  edits: edits.map(([search, replacement]): Edit => ({ file, search, replacement })),
});

const SERVICE = 'pageserver/page-service';
const QUEUE_ADD = 'this.#queue.add(tag, bytes, view, offset, length);';
const NOTHING_TAKEN = 'if (batch === undefined) break;';

export const MUTANTS: readonly PageServiceMutant[] = [
  mutant(
    'a queued request keeps the timeline’s gate open',
    'PS-02 queue',
    `${SERVICE}/page-stream.ts`,
    ['#failure: unknown;', '#failure: unknown;\n  readonly #held: any[] = [];'],
    [QUEUE_ADD, `this.#held.push(this.#options.handle.enter());\n${QUEUE_ADD}`],
    [NOTHING_TAKEN, `${NOTHING_TAKEN}\nfor (const pass of this.#held.splice(0)) pass.leave();`],
  ),
  mutant('the gate is left after the answers have been sent', 'PS-05 gate', `${SERVICE}/executor.ts`, [
    'pass.leave();',
    'queueMicrotask(() => pass.leave());',
  ]),
  mutant('batches are twice as large', 'PS-01 order', `${SERVICE}/page-batch.ts`, [
    'export const BATCH_REQUESTS_MAX = 32;',
    'export const BATCH_REQUESTS_MAX = 64;',
  ]),
  mutant('a batch does not wait for the one before it', 'PS-01 cold', `${SERVICE}/page-stream.ts`, [
    'this.#isBusy = true;',
    '',
  ]),
  mutant(
    'a client that takes nothing is waited for without end',
    'PS-07 stall',
    'libpq/server/drained-within.ts',
    ['clock.setTimer(timeoutMs,', 'clock.setTimer(2 ** 31 - 1,'],
  ),
  mutant('the connection ends with the timeline', 'PS-04 connection', 'pageserver/front-door/commands.ts', [
    "stream.run((receiver) => session.copyBoth(receiver, 'command'))",
    'stream.run((receiver) => session.copyBoth(receiver))',
  ]),
  mutant(
    'what was copied before an error was known is an error',
    'PS-04 connection',
    'libpq/server/server-connection.ts',
    ['if (this.#isPassingOverCopy && isCopying(message)) return;', ''],
  ),
  mutant('the end of reading does not wake who answers', 'PS-07 lost client', `${SERVICE}/page-stream.ts`, [
    'this.#life.abort(failure);',
    '',
  ]),
  mutant('pages are read for who does not take them', 'PS-06 stall', `${SERVICE}/executor.ts`, [
    'const UNSENT_BYTES_MAX = 512 * 1024;',
    'const UNSENT_BYTES_MAX = 2 ** 40;',
  ]),
  mutant(
    'a stream does not hear of the end of its timeline',
    'PS-04 connection',
    `${SERVICE}/timeline-handle.ts`,
    ['this.onShutDown?.();', ''],
  ),
  mutant(
    'a timeline keeps handles of connections that have gone',
    'PS-12 leaks',
    `${SERVICE}/timeline-handle.ts`,
    ["this.#state.active.timeline.signal.removeEventListener('abort', this.#shutDown);", ''],
  ),
  mutant('a handle keeps its timeline after the end', 'PS-04 connection', `${SERVICE}/timeline-handle.ts`, [
    'this.#state = SHUT_DOWN;\n    this.onShutDown?.();',
    'this.onShutDown?.();',
  ]),
  mutant(
    'timelines are looked up for each stream',
    'PS-11 lookups',
    'pageserver/front-door/connection-timelines.ts',
    ['if (known?.isOpen === true) return known;', ''],
  ),
  mutant('what lies behind the end of a fork is read', 'PS-01 order', `${SERVICE}/page-reading.ts`, [
    'if (key.index >= sizeToServe(stored, key)) page.bytes.fill(0);',
    'if (key.index < 0) page.bytes.fill(0);',
  ]),
  mutant('a size that was found counts for ever', 'PS-01 order', 'pageserver/read/fork-sizes.ts', [
    'this.#lsnTo[at] = lsn;',
    'this.#lsnTo[at] = Number.POSITIVE_INFINITY;',
  ]),
  mutant('what is not promised any more is served from memory', 'LSNs', `${SERVICE}/page-reading.ts`, [
    'reads.checkPromised(lsn);',
    '',
  ]),
  mutant('what was asked first waits with what was asked later', 'waits', `${SERVICE}/executor.ts`, [
    'if (end > from) this.#send(batch, buffer, from, end);',
    'if (end === batch.count) this.#send(batch, buffer, 0, end);',
  ]),
  mutant('errors leave holes between the answers', 'PS-01 order', `${SERVICE}/response-buffers.ts`, [
    'if (this.#hasErrors) {',
    'if (this.size < 0) {',
  ]),
  mutant('a buffer serves again before it has left', 'PS-06 content', `${SERVICE}/executor.ts`, [
    'this.#copy.sendMessages(messages, () => buffers.give(buffer));',
    'this.#copy.sendMessages(messages); buffers.give(buffer);',
  ]),
  mutant('pages from memory are served without their checksum', 'checksums', `${SERVICE}/page-reading.ts`, [
    'else if (timeline.hasDataChecksums) setChecksum(page, key.index);',
    '',
  ]),
];
