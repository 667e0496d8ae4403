#include "blocks.h"

#include <string.h>

/*
 * The rules that keep readers, writers, those who cut a file, and the evictor apart:
 *
 * - What is away goes to an owner, and from there to PRESENT, or back where that failed. Only the evictor gives back what is
 *   PRESENT, as its owner too.
 * - Only the owner of a block brings it from storage, and puts it into the file before it says PRESENT. So nothing that
 *   was read from storage is ever put over what was written: where blocks are given back, writers own what they write.
 * - A reader that has found all blocks present reads, and then looks whether some were given back meanwhile: the
 *   generation of the file changes before anything is punched out.
 * - Who brings, writes or gives back blocks waits for nobody while it owns any. Who cuts waits while it owns, in ascending
 *   order, and only for those. It says so in `cutters` before it looks at words, and the evictor looks there when it
 *   owns some: one of the two sees the other.
 * - What a dead owner has left is taken over where it was away: what it has put into the file is either all from storage,
 *   or a part of what it wanted to write and that nobody has been told of. What it HELD was in the file alone: its
 *   server ends, and until then whoever wants it waits.
 */

/* A random miss brings what was asked for; one where the last ended brings more and more. */
#define FIRST_RUN_BLOCKS 16u
/* The agent is told of so many that were given back behind those that are brought. */
#define AHEAD_BLOCKS_MAX 128u

static uint8_t run_buffer[RUN_BLOCKS_MAX * BLOCK_BYTES] __attribute__((aligned(4096)));
/* Of the blocks that this process owns, which are of one file at a time. */
static uint8_t words_before[SEGMENT_BLOCKS];

static uint32_t min(uint32_t left, uint32_t right)
{
  return left < right ? left : right;
}

static bool exchange(uint32_t *word, uint32_t expected, uint32_t wanted)
{
  return __atomic_compare_exchange_n(word, &expected, wanted, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* Before a word of a grown file is another than 0. */
static void note_high(const struct lazy_file *file, uint32_t block)
{
  if (block < file->blocks) return;
  uint32_t before = __atomic_load_n(&file->grown->high, __ATOMIC_SEQ_CST);
  while (before <= block && !__atomic_compare_exchange_n(&file->grown->high, &before, block + 1, false, __ATOMIC_SEQ_CST,
                                                         __ATOMIC_SEQ_CST))
    continue;
}

bool word_take(const struct lazy_file *file, uint32_t block, uint32_t seen, uint32_t owner)
{
  bool is_held = word_is_present(file, block, seen) || seen == BLOCK_GIVEN_VISIBLE;
  note_high(file, block);
  if (!exchange(word_at(file, block), seen, is_held ? owner | WORD_HELD : owner)) return false;
  /* A dead owner's: all that may be asked for again, may be asked for as what was given back. */
  uint32_t before = seen & WORD_OWNED ? (gives_back(file) ? BLOCK_GIVEN : BLOCK_ABSENT) : seen;
  if (block < SEGMENT_BLOCKS) words_before[block] = (uint8_t)before;
  return true;
}

uint32_t word_before(uint32_t block)
{
  return block < SEGMENT_BLOCKS ? words_before[block] : BLOCK_ABSENT;
}

void word_use(const struct lazy_file *file, uint32_t block, uint32_t seen)
{
  if (!gives_back(file) || seen == BLOCK_USED) return;
  note_high(file, block);
  /* Where it is another by now, whoever made it so knows of it. */
  exchange(word_at(file, block), seen, BLOCK_USED);
}

void publish(const struct lazy_file *file, uint32_t first, uint32_t end, uint32_t owner, uint32_t value)
{
  for (uint32_t block = first; block < end; block++) {
    if ((word_load(file, block) & ~WORD_HELD) != owner) continue;
    __atomic_store_n(word_at(file, block), value == BLOCK_BEFORE ? word_before(block) : value, __ATOMIC_SEQ_CST);
  }
  owner_wake(file->state);
}

uint32_t own_word_or_refuse(void)
{
  uint32_t owner = owner_word();
  if (owner == 0) refuse("this process cannot be told from others", "/proc is missing");
  return owner;
}

/* Hints may be torn by others who read the same file: they change how fast it is, and nothing else. */
static uint32_t run_length(const struct lazy_file *file, uint32_t block, uint32_t wanted)
{
  if (file->is_slru) return RUN_BLOCKS_MAX;
  uint32_t next = __atomic_load_n(&file->state->next_block, __ATOMIC_RELAXED);
  uint32_t last = __atomic_load_n(&file->state->run_blocks, __ATOMIC_RELAXED);
  uint32_t run = wanted;
  if (next == block && block != 0) run = last * 2 > FIRST_RUN_BLOCKS ? last * 2 : FIRST_RUN_BLOCKS;
  if (run < wanted) run = wanted;
  return min(run, RUN_BLOCKS_MAX);
}

static bool take_as(const struct lazy_file *file, uint32_t block, bool is_given, uint32_t owner)
{
  uint32_t word = word_load(file, block);
  if (!word_is_away(file, block, word) || word_is_given(word) != is_given) return false;
  return word_take(file, block, word, owner);
}

static bool write_run(int descriptor, uint32_t block, uint32_t count)
{
  size_t length = (size_t)count * BLOCK_BYTES;
  off_t offset = (off_t)block * BLOCK_BYTES;
  for (size_t done = 0; done < length;) {
    ssize_t written = system_pwrite(descriptor, run_buffer + done, length - done, offset + (off_t)done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      if (written == 0) errno = EIO;
      return false;
    }
    done += (size_t)written;
  }
  return true;
}

/*
 * visibilitymap.c, visibilitymap_set: without checksums the flag is set in a page whose LSN stays, so that storage may have
 * it only later. It must not get lost: whoever changes the page clears the map by it.
 */
static void restore_visible(uint32_t block, uint32_t count)
{
  for (uint32_t index = 0; index < count; index++) {
    uint8_t *page = run_buffer + (size_t)index * BLOCK_BYTES;
    uint64_t lsn;
    memcpy(&lsn, page, sizeof lsn);
    if (word_before(block + index) == BLOCK_GIVEN_VISIBLE && lsn != 0) page[PAGE_FLAGS_OFFSET] |= PD_ALL_VISIBLE;
  }
}

/* Blocks that this process owns. */
static int read_given(const struct lazy_file *file, uint32_t block, uint32_t after)
{
  uint32_t ahead = 0;
  if (after - block >= FIRST_RUN_BLOCKS) {
    uint32_t most = min(AHEAD_BLOCKS_MAX, words_end(file) - after);
    while (ahead < most && word_is_given(word_load(file, after + ahead))) ahead++;
  }
  if (agent_read_again(&file->key, block, after - block, ahead, run_buffer) < 0) return -1;
  restore_visible(block, after - block);
  return 0;
}

/*
 * Brings a block whose word was `seen`, and some of those around it, at least as far as `end` if they are away as it is. 0
 * also where somebody else was faster.
 */
static int fill(int descriptor, const struct lazy_file *file, uint32_t block, uint32_t end, uint32_t seen)
{
  uint32_t owner = own_word_or_refuse();
  if (owner == 0) return -1;
  if (!word_take(file, block, seen, owner)) return 0;
  bool is_given = word_before(block) != BLOCK_ABSENT;
  uint32_t run = run_length(file, block, end - block);
  uint32_t first = block;
  if (file->around_blocks > 1) {
    while (first % file->around_blocks != 0 && take_as(file, first - 1, is_given, owner)) first--;
    uint32_t least = file->around_blocks - block % file->around_blocks;
    if (run < least) run = least;
  }
  uint32_t limit = min(words_end(file), min(block + run, first + RUN_BLOCKS_MAX));
  uint32_t after = block + 1;
  while (after < limit && take_as(file, after, is_given, owner)) after++;
  __atomic_store_n(&file->state->next_block, after, __ATOMIC_RELAXED);
  __atomic_store_n(&file->state->run_blocks, after - block, __ATOMIC_RELAXED);
  int result = is_given ? read_given(file, first, after) : agent_read(file->number, first, after - first, run_buffer);
  bool is_done = result == 0 && write_run(descriptor, first, after - first);
  int problem = errno;
  if (is_done) {
    uint32_t wanted = min(end, after);
    if (first < block) publish(file, first, block, owner, BLOCK_PRESENT);
    publish(file, block, wanted, owner, gives_back(file) ? BLOCK_USED : BLOCK_PRESENT);
    if (wanted < after) publish(file, wanted, after, owner, BLOCK_PRESENT);
    shared_count((uint64_t)(after - first) * BLOCK_BYTES);
  } else {
    publish(file, first, after, owner, BLOCK_BEFORE);
  }
  errno = problem;
  return is_done ? 0 : -1;
}

int wait_for_owner(const struct lazy_file *file, uint32_t block, uint32_t word)
{
  if (!(word & WORD_OWNED)) return refuse("a block is in no state that is known", settings.directory);
  if ((word & ~WORD_HELD) == owner_word()) return refuse("this process owns a block that it waits for", settings.directory);
  bool is_dead = owner_wait(file->state, word_at(file, block), word);
  if (!is_dead || !(word & WORD_HELD)) return is_dead;
  /* The agent ends the server. */
  system_sleep(1);
  return 0;
}

int ensure_blocks(int descriptor, const struct lazy_file *file, uint32_t first, uint32_t end)
{
  for (uint32_t block = first; block < end;) {
    uint32_t word = word_load(file, block);
    if (word_is_present(file, block, word)) {
      word_use(file, block, word);
      block++;
      continue;
    }
    bool is_free = word_is_away(file, block, word);
    if (!is_free) {
      int is_dead = wait_for_owner(file, block, word);
      if (is_dead < 0) return -1;
      if (!is_dead && interrupts_are_pending()) {
        errno = ECANCELED;
        return -1;
      }
      is_free = is_dead;
    }
    if (is_free && fill(descriptor, file, block, end, word) < 0) return -1;
  }
  return 0;
}

void blocks_of(const struct lazy_file *file, off_t offset, size_t length, uint32_t *first, uint32_t *end)
{
  uint64_t from = (uint64_t)offset / BLOCK_BYTES;
  uint64_t to = ((uint64_t)offset + length + BLOCK_BYTES - 1) / BLOCK_BYTES;
  *end = to > words_end(file) ? words_end(file) : (uint32_t)to;
  *first = from > *end ? *end : (uint32_t)from;
}

int blocks_ensure(int descriptor, const struct lazy_file *file, off_t offset, size_t length)
{
  uint32_t first, end;
  if (offset < 0 || length == 0) return 0;
  blocks_of(file, offset, length, &first, &end);
  return ensure_blocks(descriptor, file, first, end);
}

ssize_t blocks_read(int descriptor, const struct lazy_file *file, const struct iovec *vector, int count, off_t offset)
{
  size_t length = 0;
  for (int index = 0; index < count; index++) length += vector[index].iov_len;
  for (;;) {
    uint32_t generation = __atomic_load_n(&file->state->generation, __ATOMIC_SEQ_CST);
    if (blocks_ensure(descriptor, file, offset, length) < 0) return -1;
    ssize_t found = count == 1 ? system_pread(descriptor, vector->iov_base, vector->iov_len, offset)
                               : system_preadv(descriptor, vector, count, offset);
    if (!gives_back(file) || __atomic_load_n(&file->state->generation, __ATOMIC_SEQ_CST) == generation) return found;
  }
}

void blocks_prefetch(const struct lazy_file *file, off_t offset, off_t length)
{
  uint32_t first, end;
  if (offset < 0 || length <= 0 || file->is_slru) return;
  blocks_of(file, offset, (size_t)length, &first, &end);
  while (first < end) {
    uint32_t word = word_load(file, first);
    uint32_t after = first + 1;
    if (word_is_away(file, first, word)) {
      bool is_given = word_is_given(word);
      for (; after < end && after - first < RUN_BLOCKS_MAX; after++) {
        uint32_t next = word_load(file, after);
        if (!word_is_away(file, after, next) || word_is_given(next) != is_given) break;
      }
      if (is_given) agent_prefetch_again(&file->key, first, after - first);
      else agent_prefetch(file->number, first, after - first);
    }
    first = after;
  }
}

void blocks_keep(const struct lazy_file *file)
{
  if (gives_back(file)) __atomic_fetch_or(&file->state->flags, FILE_KEEPS, __ATOMIC_SEQ_CST);
}
