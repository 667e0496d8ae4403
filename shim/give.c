#include "blocks.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Giving blocks back. What may go is known from its page's LSN alone: storage has all up to the LSN of a permission, and so
 * it has each page of a permanent relation whose LSN is not behind that, as it stands in the file but for hint bits.
 * A page that nobody has logged yet, or never will, has a small LSN that no record has: 0, GiST's of a build, or one of
 * those that unlogged relations count (xlog.c, GetFakeLSNForUnloggedRel).
 */

/* Records begin behind the first segment of the usual size. */
#define LSN_FLOOR (16ull << 20)
/* sequence.c: a value is taken from what was logged ahead without logging it, so that the page says less in storage. */
#define SEQUENCE_SPECIAL (BLOCK_BYTES - 8)
#define SEQUENCE_MAGIC 0x1717u
#define INIT_SUFFIX "_init"

/* Blocks that this process owns, of a file that is open. */
struct run {
  int descriptor;
  const struct lazy_file *file;
  uint32_t first;
  uint32_t count;
  /* What becomes of the word: what the block is given back as, or BLOCK_PRESENT where it has to stay. */
  uint8_t results[RUN_BLOCKS_MAX];
};

static bool is_sequence(int descriptor, uint32_t block, const uint8_t *header)
{
  uint16_t special;
  uint32_t magic = 0;
  memcpy(&special, header + PAGE_SPECIAL_OFFSET, sizeof special);
  if (special != SEQUENCE_SPECIAL) return false;
  off_t offset = (off_t)block * BLOCK_BYTES + special;
  return system_pread(descriptor, &magic, sizeof magic, offset) != sizeof magic || magic == SEQUENCE_MAGIC;
}

/* What a block may be given back as; BLOCK_PRESENT where it may not. */
static uint8_t judge(int descriptor, uint32_t block, struct giving *giving)
{
  uint8_t header[PAGE_HEADER_BYTES];
  uint32_t high, low;
  uint16_t flags;
  if (system_pread(descriptor, header, sizeof header, (off_t)block * BLOCK_BYTES) != sizeof header) return BLOCK_PRESENT;
  memcpy(&high, header, sizeof high);
  memcpy(&low, header + 4, sizeof low);
  memcpy(&flags, header + PAGE_FLAGS_OFFSET, sizeof flags);
  uint64_t lsn = (uint64_t)high << 32 | low;
  if (lsn < LSN_FLOOR || is_sequence(descriptor, block, header)) return BLOCK_PRESENT;
  if (lsn > giving->lsn) {
    giving->behind++;
    return BLOCK_PRESENT;
  }
  bool is_visible = (flags & PD_ALL_VISIBLE) && !shared_header()->has_checksums;
  return is_visible ? BLOCK_GIVEN_VISIBLE : BLOCK_GIVEN;
}

/* Whether the file still has its name, and nobody is about to cut it, and it is not of a kind that stays. */
static bool may_go(const struct run *run)
{
  struct stat status;
  const struct file_state *state = run->file->state;
  if (__atomic_load_n(&state->cutters, __ATOMIC_SEQ_CST) != 0) return false;
  if (__atomic_load_n(&state->flags, __ATOMIC_SEQ_CST) & FILE_KEEPS) return false;
  return system_stat(run->descriptor, "", &status, AT_EMPTY_PATH) == 0 && status.st_nlink > 0;
}

/* Unlogged relations have a fork that says what they are after a crash. It is there before their pages have LSNs. */
static bool is_unlogged(const struct path *path)
{
  struct stat status;
  char name[PATH_BYTES + sizeof INIT_SUFFIX];
  const char *end = strrchr(path->absolute, '/');
  size_t length = (size_t)(end - path->absolute) + 1 + strcspn(end + 1, ".");
  snprintf(name, sizeof name, "%.*s" INIT_SUFFIX, (int)length, path->absolute);
  return system_stat(AT_FDCWD, name, &status, 0) == 0 || errno != ENOENT;
}

static int punch(int descriptor, uint32_t first, uint32_t count)
{
  int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  return (int)syscall(SYS_fallocate, descriptor, mode, (off_t)first * BLOCK_BYTES, (off_t)count * BLOCK_BYTES);
}

/* Punches out what may go of a run, and says so. */
static void give_run(struct run *run, uint32_t owner, struct giving *giving)
{
  const struct lazy_file *file = run->file;
  /* Before anything is gone: a reader that has found it present looks again. */
  __atomic_fetch_add(&file->state->generation, 1, __ATOMIC_SEQ_CST);
  for (uint32_t index = 0; index < run->count;) {
    uint32_t after = index + 1;
    if (run->results[index] == BLOCK_PRESENT) {
      index = after;
      continue;
    }
    while (after < run->count && run->results[after] != BLOCK_PRESENT) after++;
    /* Where that fails some of it may be gone: from here on it counts as what is only in storage. */
    if (punch(run->descriptor, run->first + index, after - index) == 0) giving->given += after - index;
    else say_once("blocks could not be given back", strerror(errno));
    for (; index < after; index++) publish(file, run->first + index, run->first + index + 1, owner, run->results[index]);
  }
}

static void try_run(struct run *run, const struct path *path, uint32_t owner, struct giving *giving)
{
  uint32_t going = 0;
  if (may_go(run)) {
    for (uint32_t index = 0; index < run->count; index++) {
      run->results[index] = judge(run->descriptor, run->first + index, giving);
      going += run->results[index] != BLOCK_PRESENT;
    }
    if (going > 0 && !is_unlogged(path)) give_run(run, owner, giving);
  }
  publish(run->file, run->first, run->first + run->count, owner, BLOCK_BEFORE);
}

/* Takes present blocks that nobody has used since the last turn. Gives the block behind the last that it has looked at. */
static uint32_t own_unused(struct run *run, uint32_t first, uint32_t end, uint32_t owner, uint64_t most)
{
  const struct lazy_file *file = run->file;
  uint32_t block = first;
  run->count = 0;
  for (; block < end && run->count < RUN_BLOCKS_MAX && run->count < most; block++) {
    uint32_t word = word_load(file, block);
    bool is_unused = word != BLOCK_USED && word_is_present(file, block, word);
    if (is_unused && word_take(file, block, word, owner)) {
      if (run->count++ == 0) run->first = block;
      continue;
    }
    if (word == BLOCK_USED)
      __atomic_compare_exchange_n(word_at(file, block), &word, BLOCK_PRESENT, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    if (run->count > 0) break;
  }
  return block;
}

/* The next blocks that take room. False: there are none. */
static bool find_data(int descriptor, uint32_t block, uint32_t *first, uint32_t *end)
{
  off_t start = (off_t)syscall(SYS_lseek, descriptor, (off_t)block * BLOCK_BYTES, SEEK_DATA);
  if (start < 0) return false;
  off_t after = (off_t)syscall(SYS_lseek, descriptor, start, SEEK_HOLE);
  if (after < 0) return false;
  *first = (uint32_t)(start / BLOCK_BYTES);
  *end = (uint32_t)((after + BLOCK_BYTES - 1) / BLOCK_BYTES);
  if (*end > SEGMENT_BLOCKS) *end = SEGMENT_BLOCKS;
  return *first < *end;
}

uint32_t give_file(int descriptor, const struct path *path, const struct lazy_file *file, uint32_t first,
                   struct giving *giving)
{
  uint32_t owner = own_word_or_refuse();
  struct run run = {.descriptor = descriptor, .file = file};
  uint32_t start, end;
  if (owner == 0) return SEGMENT_BLOCKS;
  while (giving->given < giving->wanted && first < SEGMENT_BLOCKS && find_data(descriptor, first, &start, &end)) {
    first = start > first ? start : first;
    while (first < end && giving->given < giving->wanted) {
      first = own_unused(&run, first, end, owner, giving->wanted - giving->given);
      if (run.count > 0) try_run(&run, path, owner, giving);
    }
  }
  return giving->given < giving->wanted ? SEGMENT_BLOCKS : first;
}
