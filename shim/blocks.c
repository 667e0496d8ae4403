#include "shim.h"

#include <limits.h>
#include <string.h>

/*
 * The rules that keep readers, writers, and those who cut a file apart:
 *
 * - A word goes from ABSENT to an owner, and from there to PRESENT, or back to ABSENT where that failed. PRESENT stays.
 * - Only the owner of a block brings it from storage, and puts it into the file before it says PRESENT. So nothing that
 *   was read from storage is ever put over what was written.
 * - Who brings or writes blocks waits for nobody while it owns any. Who cuts waits while it owns, in ascending order, and
 *   only for those.
 * - What a dead owner has left is taken over: what it has put into the file is either all from storage, or a part of what
 *   it wanted to write and that nobody has been told of.
 */

/* A random miss brings what was asked for; one where the last ended brings more and more. */
#define FIRST_RUN_BLOCKS 16u

static uint8_t run_buffer[RUN_BLOCKS_MAX * BLOCK_BYTES] __attribute__((aligned(4096)));

static uint32_t load(uint32_t *word)
{
  return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static bool exchange(uint32_t *word, uint32_t expected, uint32_t wanted)
{
  return __atomic_compare_exchange_n(word, &expected, wanted, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* Ends the ownership of what is owned in [first, end), and tells who waits. */
static void publish(const struct lazy_file *file, uint32_t first, uint32_t end, uint32_t owner, uint32_t value)
{
  for (uint32_t block = first; block < end; block++) {
    if (load(&file->words[block]) == owner) __atomic_store_n(&file->words[block], value, __ATOMIC_SEQ_CST);
  }
  owner_wake(file->state);
}

static uint32_t min(uint32_t left, uint32_t right)
{
  return left < right ? left : right;
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
 * Brings a block whose word was `seen`, and some of those behind it, at least as far as `end` if they are absent. 0 also
 * where somebody else was faster.
 */
static int fill(int descriptor, const struct lazy_file *file, uint32_t block, uint32_t end, uint32_t seen)
{
  uint32_t owner = owner_word();
  if (owner == 0) return refuse("this process cannot be told from others", "/proc is missing");
  if (!exchange(&file->words[block], seen, owner)) return 0;
  uint32_t limit = min(file->blocks, block + run_length(file, block, end - block));
  uint32_t after = block + 1;
  while (after < limit && exchange(&file->words[after], BLOCK_ABSENT, owner)) after++;
  __atomic_store_n(&file->state->next_block, after, __ATOMIC_RELAXED);
  __atomic_store_n(&file->state->run_blocks, after - block, __ATOMIC_RELAXED);
  bool is_done = agent_read(file->number, block, after - block, run_buffer) == 0 &&
                 write_run(descriptor, block, after - block);
  int problem = errno;
  publish(file, block, after, owner, is_done ? BLOCK_PRESENT : BLOCK_ABSENT);
  errno = problem;
  return is_done ? 0 : -1;
}

/* Waits for the owner of a word. 1: it is dead, and its word may be taken; 0: look again; -1 with errno. */
static int wait_for_owner(const struct lazy_file *file, uint32_t block, uint32_t word)
{
  if (!(word & WORD_OWNED)) return refuse("a block is in no state that is known", settings.directory);
  if (word == owner_word()) return refuse("this process owns a block that it waits for", settings.directory);
  return owner_wait(file->state, &file->words[block], word) ? 1 : 0;
}

static int ensure_blocks(int descriptor, const struct lazy_file *file, uint32_t first, uint32_t end)
{
  for (uint32_t block = first; block < end;) {
    uint32_t word = load(&file->words[block]);
    if (word == BLOCK_PRESENT) {
      block++;
      continue;
    }
    bool is_free = word == BLOCK_ABSENT;
    if (!is_free) {
      int is_dead = wait_for_owner(file, block, word);
      if (is_dead < 0) return -1;
      is_free = is_dead;
    }
    if (is_free && fill(descriptor, file, block, end, word) < 0) return -1;
  }
  return 0;
}

/* The blocks of some bytes, as far as they are in storage. */
static void blocks_of(const struct lazy_file *file, off_t offset, size_t length, uint32_t *first, uint32_t *end)
{
  uint64_t from = (uint64_t)offset / BLOCK_BYTES;
  uint64_t to = ((uint64_t)offset + length + BLOCK_BYTES - 1) / BLOCK_BYTES;
  *end = to > file->blocks ? file->blocks : (uint32_t)to;
  *first = from > *end ? *end : (uint32_t)from;
}

int blocks_ensure(int descriptor, const struct lazy_file *file, off_t offset, size_t length)
{
  uint32_t first, end;
  if (offset < 0 || length == 0) return 0;
  blocks_of(file, offset, length, &first, &end);
  return ensure_blocks(descriptor, file, first, end);
}

static bool all_present(const struct lazy_file *file, uint32_t first, uint32_t end)
{
  for (uint32_t block = first; block < end; block++) {
    if (load(&file->words[block]) != BLOCK_PRESENT) return false;
  }
  return true;
}

/* The part [skip, skip + length) of what a vector holds. */
static int slice(const struct iovec *vector, int count, size_t skip, size_t length, struct iovec *part)
{
  int parts = 0;
  for (int index = 0; index < count && length > 0; index++) {
    if (skip >= vector[index].iov_len) {
      skip -= vector[index].iov_len;
      continue;
    }
    size_t size = vector[index].iov_len - skip;
    if (size > length) size = length;
    part[parts].iov_base = (uint8_t *)vector[index].iov_base + skip;
    part[parts++].iov_len = size;
    length -= size;
    skip = 0;
  }
  return parts;
}

/* Takes what is absent from `first` on, up to a block that somebody else owns. -1 with errno. */
static int64_t own_run(const struct lazy_file *file, uint32_t first, uint32_t end, uint32_t owner)
{
  for (;;) {
    uint32_t block = first;
    uint32_t word = BLOCK_PRESENT;
    for (; block < end; block++) {
      word = load(&file->words[block]);
      if (word == BLOCK_ABSENT && exchange(&file->words[block], BLOCK_ABSENT, owner)) continue;
      if (word != BLOCK_PRESENT) break;
    }
    if (block > first || block == end) return block;
    if (word == BLOCK_ABSENT) continue;
    int is_dead = wait_for_owner(file, first, word);
    if (is_dead < 0) return -1;
    /* What it has left there is overwritten whole, by us now or by storage if we fail. */
    if (is_dead) exchange(&file->words[first], word, BLOCK_ABSENT);
  }
}

/* Whole blocks that are in storage, as long as nothing fails. */
static ssize_t write_owned(int descriptor, const struct lazy_file *file, const struct iovec *vector, int count,
                           off_t offset, size_t length)
{
  struct iovec part[IOV_MAX];
  uint32_t owner = owner_word();
  if (owner == 0) return refuse("this process cannot be told from others", "/proc is missing");
  size_t done = 0;
  while (done < length) {
    uint32_t first = (uint32_t)((uint64_t)(offset + (off_t)done) / BLOCK_BYTES);
    uint32_t end = (uint32_t)((uint64_t)(offset + (off_t)length) / BLOCK_BYTES);
    int64_t after = own_run(file, first, end, owner);
    if (after < 0) return done > 0 ? (ssize_t)done : -1;
    size_t wanted = (size_t)(after - first) * BLOCK_BYTES;
    int parts = slice(vector, count, done, wanted, part);
    ssize_t written = system_pwritev(descriptor, part, parts, offset + (off_t)done);
    int problem = errno;
    /* A block that was written in part is absent again: whoever wrote it is told that it was not. */
    uint32_t whole = first + (written > 0 ? (uint32_t)((size_t)written / BLOCK_BYTES) : 0);
    publish(file, first, whole, owner, BLOCK_PRESENT);
    publish(file, whole, (uint32_t)after, owner, BLOCK_ABSENT);
    errno = problem;
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return done > 0 ? (ssize_t)done : -1;
    done += (size_t)written;
    if ((size_t)written < wanted) return (ssize_t)done;
  }
  return (ssize_t)done;
}

ssize_t blocks_write(int descriptor, const struct lazy_file *file, const struct iovec *vector, int count, off_t offset)
{
  size_t length = 0;
  uint32_t first, end;
  for (int index = 0; index < count && index < IOV_MAX; index++) length += vector[index].iov_len;
  if (offset < 0 || length == 0 || count > IOV_MAX) return system_pwritev(descriptor, vector, count, offset);
  blocks_of(file, offset, length, &first, &end);
  if (all_present(file, first, end)) return system_pwritev(descriptor, vector, count, offset);
  bool is_whole = offset % BLOCK_BYTES == 0 && ((size_t)offset + length) % BLOCK_BYTES == 0;
  if (!is_whole) {
    /* Not how the server writes: what is not written of the blocks has to come from storage. */
    if (ensure_blocks(descriptor, file, first, end) < 0) return -1;
    return system_pwritev(descriptor, vector, count, offset);
  }
  size_t lazy = (size_t)end * BLOCK_BYTES - (size_t)offset;
  ssize_t written = write_owned(descriptor, file, vector, count, offset, lazy < length ? lazy : length);
  if (written != (ssize_t)lazy || lazy >= length) return written;
  struct iovec part[IOV_MAX];
  int parts = slice(vector, count, lazy, length - lazy, part);
  ssize_t rest = system_pwritev(descriptor, part, parts, offset + (off_t)lazy);
  return rest < 0 ? written : written + rest;
}

int blocks_cut(const struct lazy_file *file, int descriptor, off_t length, int (*operation)(void *), void *argument)
{
  uint32_t owner = owner_word();
  if (owner == 0) return refuse("this process cannot be told from others", "/proc is missing");
  if (length < 0) return operation(argument);
  uint64_t kept = ((uint64_t)length + BLOCK_BYTES - 1) / BLOCK_BYTES;
  uint32_t first = kept > file->blocks ? file->blocks : (uint32_t)kept;
  if (length % BLOCK_BYTES != 0 && blocks_ensure(descriptor, file, length, 1) < 0) return -1;
  for (uint32_t block = first; block < file->blocks;) {
    uint32_t word = load(&file->words[block]);
    int is_dead = 0;
    if (word != BLOCK_PRESENT && word != BLOCK_ABSENT) {
      is_dead = wait_for_owner(file, block, word);
      if (is_dead < 0) {
        publish(file, first, block, owner, BLOCK_ABSENT);
        errno = EIO;
        return -1;
      }
    }
    if (word == BLOCK_PRESENT || ((word == BLOCK_ABSENT || is_dead) && exchange(&file->words[block], word, owner)))
      block++;
  }
  int result = operation(argument);
  int problem = errno;
  publish(file, first, file->blocks, owner, result == 0 ? BLOCK_PRESENT : BLOCK_ABSENT);
  errno = problem;
  return result;
}

void blocks_prefetch(const struct lazy_file *file, off_t offset, off_t length)
{
  uint32_t first, end;
  if (offset < 0 || length <= 0 || file->is_slru) return;
  blocks_of(file, offset, (size_t)length, &first, &end);
  while (first < end) {
    uint32_t after = first;
    while (after < end && after - first < RUN_BLOCKS_MAX && load(&file->words[after]) == BLOCK_ABSENT) after++;
    if (after > first) agent_prefetch(file->number, first, after - first);
    else after++;
    first = after;
  }
}
