import { FIRST_MULTIXACT, SLRUS, slruPageOf, slruSegmentOfPage } from '../../postgres/files/slru.ts';
import type {
  MultixactBody,
  MultixactCreateBody,
  MultixactTruncateBody,
} from '../../postgres/rmgr/multixact.ts';
import type { Effect } from './effect.ts';

const OFFSETS = SLRUS['multixact-offsets'];
const MEMBERS = SLRUS['multixact-members'];

/** multixact_redo. */
export function multixactEffects(body: MultixactBody): readonly Effect[] {
  switch (body.kind) {
    case 'ZERO_OFF_PAGE':
      return [{ kind: 'slru-zero-page', slru: 'multixact-offsets', page: body.page }];
    case 'ZERO_MEM_PAGE':
      return [{ kind: 'slru-zero-page', slru: 'multixact-members', page: body.page }];
    case 'CREATE_ID':
      return [...offsetsEffects(body), ...membersEffects(body)];
    case 'TRUNCATE_ID':
      return truncationEffects(body);
  }
}

/** RecordNewMultiXact: the multixact's own offset, and the next one's, which is where this one's members end. */
function offsetsEffects(body: MultixactCreateBody): Effect[] {
  const { multixact, offset } = body;
  const page = slruPageOf(OFFSETS, multixact);
  const nextMultixact = multixact === 0xffff_ffff ? FIRST_MULTIXACT : multixact + 1;
  const nextPage = slruPageOf(OFFSETS, nextMultixact);
  // Offset 0 is never given out.
  const nextOffset = (offset + body.members.length) >>> 0 || 1;
  if (nextPage === page) {
    return [
      {
        kind: 'multixact-offsets',
        page,
        multixacts: [multixact, nextMultixact],
        offsets: [offset, nextOffset],
        previousPage: undefined,
      },
    ];
  }
  return [
    { kind: 'multixact-offsets', page, multixacts: [multixact], offsets: [offset], previousPage: undefined },
    {
      kind: 'multixact-offsets',
      page: nextPage,
      multixacts: [nextMultixact],
      offsets: [nextOffset],
      previousPage: page,
    },
  ];
}

/** The members' space wraps around at 2^32, in the middle of its last page. */
function membersEffects(body: MultixactCreateBody): Effect[] {
  const effects: Effect[] = [];
  let done = 0;
  while (done < body.members.length) {
    const startOffset = (body.offset + done) >>> 0;
    const page = slruPageOf(MEMBERS, startOffset);
    const end = Math.min((page + 1) * MEMBERS.entriesPerPage, 2 ** 32);
    const members = body.members.slice(done, done + end - startOffset);
    effects.push({
      kind: 'multixact-members',
      page,
      startOffset,
      xids: members.map((member) => member.xid),
      statuses: members.map((member) => member.status),
    });
    done += members.length;
  }
  return effects;
}

/** PerformMembersTruncation, PerformOffsetsTruncation: the cutoff is the page of the multixact before the end. */
function truncationEffects(body: MultixactTruncateBody): Effect[] {
  const { startMember, endMember, endMultixact } = body;
  const lastMultixact = endMultixact === FIRST_MULTIXACT ? 0xffff_ffff : (endMultixact - 1) >>> 0;
  return [
    {
      kind: 'slru-delete-segments',
      slru: 'multixact-members',
      startSegment: slruSegmentOfPage(slruPageOf(MEMBERS, startMember)),
      endSegment: slruSegmentOfPage(slruPageOf(MEMBERS, endMember)),
      lastSegment: slruSegmentOfPage(MEMBERS.lastPage),
    },
    {
      kind: 'slru-truncate',
      slru: 'multixact-offsets',
      cutoffPage: slruPageOf(OFFSETS, lastMultixact),
      checksWrapAround: true,
    },
  ];
}
