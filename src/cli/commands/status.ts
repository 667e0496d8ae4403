import type { Command } from 'commander';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import type { BranchStatus, SystemStatus } from '../../contracts/control-api-status.ts';
import { systemStatusSchema } from '../../contracts/control-api-status.ts';
import type { CliContext } from '../context.ts';
import { formatBytes } from '../progress.ts';
import { DIRECTORY_DEFAULT, resolveDirectory } from '../system-directory.ts';
import { tableLines } from '../table.ts';

const HEAD = [
  ...['project', 'branch', 'compute', 'head', 'on safekeepers', 'on pageserver'],
  ...['in the bucket', 'lost if only that were left'],
];

export function registerStatus(program: Command, context: CliContext): void {
  program
    .command('status')
    .description(
      'show how far each part is on each branch, and what would be lost if only the bucket were left',
    )
    .option('--dir <directory>', 'the system’s', DIRECTORY_DEFAULT)
    .action(({ dir }: { readonly dir: string }) => run(context, resolveDirectory(dir)));
}

async function run({ isJson, output }: CliContext, directory: string): Promise<void> {
  const { openControlClient } = await import('../../system/main.ts');
  const { running, client } = await openControlClient(directory);
  const status = await client.status(new AbortController().signal);
  if (isJson) {
    const { url, api } = running.ready ?? { url: null, api: null };
    await output.writeJson({ pid: running.pid, url, api, ...systemStatusSchema.encode(status) });
    return;
  }
  await output.write(`${lines(status).join('\n')}\n`);
}

function lines({ version, nodes, branches, operationsUnfinished }: SystemStatus): string[] {
  const away = nodes.filter(({ isReachable }) => !isReachable);
  return [
    `varve ${version}: ${nodes.length - away.length} of ${nodes.length} storage nodes answer`,
    ...away.map(({ kind, id, error }) => `  ${kind} ${id} does not: ${error ?? 'no reason is known'}`),
    ...(operationsUnfinished === 0 ? [] : [`${operationsUnfinished} operations go on`]),
    '',
    ...tableLines([HEAD, ...branches.map(row)], []),
  ];
}

function row(status: BranchStatus): string[] {
  const { project, branch, endpoints, headLsn, safekeepers, pageserver, bucketLsn, bytesBeyondBucket } =
    status;
  const primary = endpoints.find(({ kind }) => kind === 'primary');
  return [
    project,
    branch,
    primary === undefined ? '-' : `${primary.state}${primary.port === null ? '' : ` at ${primary.port}`}`,
    lsnText(headLsn),
    safekeepers.map(({ flushLsn }) => lsnText(flushLsn)).join(' ') || '-',
    lsnText(pageserver?.lastRecordLsn ?? null),
    lsnText(bucketLsn),
    bytesBeyondBucket === null ? '-' : formatBytes(bytesBeyondBucket),
  ];
}

const lsnText = (lsn: Lsn | null): string => (lsn === null ? '-' : formatLsn(lsn));
