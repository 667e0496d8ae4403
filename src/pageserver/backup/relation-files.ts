import { formatRelationPath, RELATION_SEGMENT_BLOCKS } from '../../postgres/files/relation-file-name.ts';
import type { RelationLocator } from '../../postgres/files/relation-locator.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import { FORK_INIT } from '../../postgres/wal/record-header.ts';
import type { StartFork } from '../start-set/start-forks.ts';

/** A file of a data directory, and the blocks that it consists of. */
export interface RelationFileSource {
  /** Relative to the data directory. */
  readonly path: string;
  readonly relation: RelationLocator;
  /** Where its blocks come from; an init fork's are also those of the main fork's file. */
  readonly contentFork: number;
  readonly firstBlock: number;
  readonly blocks: number;
}

/** Which relations: all, or what a server whose pages come otherwise cannot do without. */
export type RelationChoice = 'all' | 'init-forks';

/** The files of relations, in the order of their forks. */
export async function* relationFiles(
  version: PostgresVersion,
  forks: AsyncIterable<readonly StartFork[]>,
  choice: RelationChoice,
): AsyncGenerator<RelationFileSource, void> {
  for await (const some of forks) {
    for (const fork of some) {
      if (choice === 'all' || fork.contentFork === FORK_INIT) yield* segmentsOf(version, fork);
    }
  }
}

/** md.c: all segments but the last are full. A fork without blocks has one file, which is empty. */
function* segmentsOf(version: PostgresVersion, startFork: StartFork): Generator<RelationFileSource> {
  const { relation, fork, contentFork, blocks } = startFork;
  for (let segment = 0; segment === 0 || segment * RELATION_SEGMENT_BLOCKS < blocks; segment++) {
    const firstBlock = segment * RELATION_SEGMENT_BLOCKS;
    yield {
      path: formatRelationPath(version, { relation, fork, segment, temporaryBackend: undefined }),
      relation,
      contentFork,
      firstBlock,
      blocks: Math.min(blocks - firstBlock, RELATION_SEGMENT_BLOCKS),
    };
  }
}
