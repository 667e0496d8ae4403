import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { run } from '../../../test/support/cluster-template.ts';
import { VarveError } from '../../base/errors.ts';
import { nodeFiles } from './files.ts';

const directory = mkdtempSync(join(tmpdir(), 'varve-files-'));
afterAll(() => rmSync(directory, { recursive: true }));

const file = join(directory, 'file');
writeFileSync(file, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
const pipe = join(directory, 'pipe');
await run('mkfifo', [pipe]);
symlinkSync('circle', join(directory, 'circle'));

async function refusal(action: Promise<unknown>): Promise<unknown> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof VarveError)) throw new Error(`no VarveError: ${String(error)}`);
  return [error.kind, error.code, error.place.file];
}

test('reads ranges, and fewer bytes only at the end', async () => {
  await using opened = await nodeFiles.open(file);
  expect(opened.sizeBytes).toBe(8);
  const target = new Uint8Array(10).fill(99);
  expect(await opened.read(target, 1, 3, 2)).toBe(3);
  expect([...target.subarray(0, 5)]).toEqual([99, 3, 4, 5, 99]);
  expect(await opened.read(target, 0, 10, 5)).toBe(3);
  expect([...target.subarray(0, 4)]).toEqual([6, 7, 8, 5]);
  expect(await opened.read(target, 0, 10, 8)).toBe(0);
});

test('a closed file may be closed again', async () => {
  const opened = await nodeFiles.open(file);
  await opened.close();
  await expect(opened.close()).resolves.toBeUndefined();
});

test('lists names in order, and tells kinds', async () => {
  expect(await nodeFiles.list(directory)).toEqual(['circle', 'file', 'pipe']);
  expect(await nodeFiles.stat(file)).toEqual({ kind: 'file', sizeBytes: 8 });
  expect(await nodeFiles.stat(directory)).toMatchObject({ kind: 'directory' });
  expect(await nodeFiles.stat(pipe)).toMatchObject({ kind: 'other' });
});

test('refusals say what is wrong and where', async () => {
  const nowhere = join(directory, 'nowhere');
  expect(await refusal(nodeFiles.open(nowhere))).toEqual(['not-found', 'FILE_NOT_FOUND', nowhere]);
  expect(await refusal(nodeFiles.stat(nowhere))).toEqual(['not-found', 'FILE_NOT_FOUND', nowhere]);
  expect(await refusal(nodeFiles.list(nowhere))).toEqual(['not-found', 'FILE_NOT_FOUND', nowhere]);
  expect(await refusal(nodeFiles.list(file))).toEqual(['bad-request', 'NOT_A_DIRECTORY', file]);
  expect(await refusal(nodeFiles.open(`${file}/x`))).toEqual(['bad-request', 'NOT_A_DIRECTORY', `${file}/x`]);
  expect(await refusal(nodeFiles.open(directory))).toEqual(['bad-request', 'IS_A_DIRECTORY', directory]);
  const circle = join(directory, 'circle');
  expect(await refusal(nodeFiles.open(circle))).toEqual(['bad-request', 'BAD_PATH', circle]);
});

test('a pipe is refused and not waited for', async () => {
  expect(await refusal(nodeFiles.open(pipe))).toEqual(['bad-request', 'BAD_PATH', pipe]);
});

test('creates files, and replaces none', async () => {
  const created = join(directory, 'created');
  await nodeFiles.create(created, Uint8Array.of(1, 2));
  expect([...readFileSync(created)]).toEqual([1, 2]);
  expect(await refusal(nodeFiles.create(created, Uint8Array.of(3)))).toEqual([
    'conflict',
    'FILE_EXISTS',
    created,
  ]);
  expect([...readFileSync(created)]).toEqual([1, 2]);
  rmSync(created);
});
