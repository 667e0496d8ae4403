#include "blocks.h"

#include <limits.h>

/*
 * Who writes whole blocks brings none of them. It owns those that are away, so that nobody brings them meanwhile; and where
 * blocks are given back it owns all: one that is punched out while it is written would be lost.
 */

static bool all_present(const struct lazy_file *file, uint32_t first, uint32_t end)
{
  for (uint32_t block = first; block < end; block++) {
    if (!word_is_present(file, block, word_load(file, block))) return false;
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

/* Takes what has to be owned from `first` on, up to a block that somebody else owns. -1 with errno. */
static int64_t own_run(const struct lazy_file *file, uint32_t first, uint32_t end, uint32_t owner)
{
  for (;;) {
    uint32_t block = first;
    uint32_t word = BLOCK_PRESENT;
    while (block < end) {
      word = word_load(file, block);
      bool is_present = word_is_present(file, block, word);
      if (!is_present && !word_is_away(file, block, word)) break;
      if ((is_present && !gives_back(file)) || word_take(file, block, word, owner)) block++;
    }
    if (block > first || block == end) return block;
    int is_dead = wait_for_owner(file, first, word);
    if (is_dead < 0) return -1;
    /* What it has left there is overwritten whole, by us now or by storage if we fail. */
    if (is_dead && word_take(file, first, word, owner)) return first + 1;
  }
}

/* Whole blocks that have words, as long as nothing fails. */
static ssize_t write_owned(int descriptor, const struct lazy_file *file, const struct iovec *vector, int count,
                           off_t offset, size_t length)
{
  struct iovec part[IOV_MAX];
  uint32_t owner = own_word_or_refuse();
  if (owner == 0) return -1;
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
    /* A block that was written in part is away again if it was: whoever wrote it is told that it was not. */
    uint32_t whole = first + (written > 0 ? (uint32_t)((size_t)written / BLOCK_BYTES) : 0);
    publish(file, first, whole, owner, gives_back(file) ? BLOCK_USED : BLOCK_PRESENT);
    publish(file, whole, (uint32_t)after, owner, BLOCK_BEFORE);
    errno = problem;
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return done > 0 ? (ssize_t)done : -1;
    done += (size_t)written;
    if ((size_t)written < wanted) return (ssize_t)done;
  }
  return (ssize_t)done;
}

/* Not how the server writes: what is not written of the blocks has to come from storage, and to stay meanwhile. */
static ssize_t write_parts(int descriptor, const struct lazy_file *file, const struct iovec *vector, int count,
                           off_t offset, uint32_t first, uint32_t end)
{
  uint32_t owner = own_word_or_refuse();
  if (owner == 0) return -1;
  for (;;) {
    if (ensure_blocks(descriptor, file, first, end) < 0) return -1;
    if (!gives_back(file)) return system_pwritev(descriptor, vector, count, offset);
    uint32_t block = first;
    for (; block < end; block++) {
      uint32_t word = word_load(file, block);
      if (!word_is_present(file, block, word) || !word_take(file, block, word, owner)) break;
    }
    ssize_t written = block == end ? system_pwritev(descriptor, vector, count, offset) : 0;
    int problem = errno;
    publish(file, first, block, owner, block == end ? BLOCK_USED : BLOCK_BEFORE);
    errno = problem;
    if (block == end) return written;
  }
}

ssize_t blocks_write(int descriptor, const struct lazy_file *file, const struct iovec *vector, int count, off_t offset)
{
  size_t length = 0;
  uint32_t first, end;
  for (int index = 0; index < count && index < IOV_MAX; index++) length += vector[index].iov_len;
  if (offset < 0 || length == 0 || count > IOV_MAX) return system_pwritev(descriptor, vector, count, offset);
  blocks_of(file, offset, length, &first, &end);
  if (!gives_back(file) && all_present(file, first, end)) return system_pwritev(descriptor, vector, count, offset);
  bool is_whole = offset % BLOCK_BYTES == 0 && ((size_t)offset + length) % BLOCK_BYTES == 0;
  if (!is_whole) return write_parts(descriptor, file, vector, count, offset, first, end);
  size_t lazy = (size_t)end * BLOCK_BYTES > (size_t)offset ? (size_t)end * BLOCK_BYTES - (size_t)offset : 0;
  ssize_t written = write_owned(descriptor, file, vector, count, offset, lazy < length ? lazy : length);
  if (written != (ssize_t)lazy || lazy >= length) return written;
  struct iovec part[IOV_MAX];
  int parts = slice(vector, count, lazy, length - lazy, part);
  ssize_t rest = system_pwritev(descriptor, part, parts, offset + (off_t)lazy);
  if (rest < 0) return written > 0 ? written : -1;
  return written + rest;
}
