#include "blocks.h"

/* Behind the last block whose word may be another than what it is in a file that nobody has touched. */
static uint32_t cut_end(const struct lazy_file *file)
{
  uint32_t high = gives_back(file) ? __atomic_load_n(&file->grown->high, __ATOMIC_SEQ_CST) : 0;
  return high > file->blocks ? high : file->blocks;
}

/* Owns what is away in [first, end), and waits for whoever owns any of it. -1 with errno: then it owns nothing. */
static int own_all(const struct lazy_file *file, uint32_t first, uint32_t end, uint32_t owner)
{
  for (uint32_t block = first; block < end;) {
    uint32_t word = word_load(file, block);
    if (word_is_present(file, block, word)) {
      block++;
      continue;
    }
    int is_free = word_is_away(file, block, word);
    if (!is_free) is_free = wait_for_owner(file, block, word);
    if (is_free < 0) {
      publish(file, first, block, owner, BLOCK_BEFORE);
      errno = EIO;
      return -1;
    }
    if (is_free && word_take(file, block, word, owner)) block++;
  }
  return 0;
}

static int cut(const struct lazy_file *file, uint32_t kept, int (*operation)(void *), void *argument)
{
  uint32_t owner = own_word_or_refuse();
  if (owner == 0) return -1;
  uint32_t end = cut_end(file);
  uint32_t first = kept > end ? end : kept;
  if (own_all(file, first, end, owner) < 0) return -1;
  int result = operation(argument);
  int problem = errno;
  publish(file, first, end, owner, result == 0 ? BLOCK_PRESENT : BLOCK_BEFORE);
  errno = problem;
  return result;
}

int blocks_cut(const struct lazy_file *file, int descriptor, off_t length, int (*operation)(void *), void *argument)
{
  if (length < 0) return operation(argument);
  uint64_t kept = ((uint64_t)length + BLOCK_BYTES - 1) / BLOCK_BYTES;
  if (kept > SEGMENT_BLOCKS) kept = SEGMENT_BLOCKS;
  /* From here on nothing is given back, the block that is cut in two neither. */
  __atomic_fetch_add(&file->state->cutters, 1, __ATOMIC_SEQ_CST);
  int result = -1;
  if (length % BLOCK_BYTES == 0 || blocks_ensure(descriptor, file, length, 1) == 0)
    result = cut(file, (uint32_t)kept, operation, argument);
  int problem = errno;
  __atomic_fetch_sub(&file->state->cutters, 1, __ATOMIC_SEQ_CST);
  errno = problem;
  return result;
}
