#include "shim.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct settings settings;
bool shim_is_active;
bool shim_is_root_process;

static uint8_t *shared;
/* Of the shared file when it was last looked at. It grows with the list. */
static uint64_t shared_bytes;
static const struct list_header *list;

static bool open_in_directory(const char *name, int flags, int *descriptor, struct stat *status)
{
  char path[PATH_BYTES + 16];
  snprintf(path, sizeof path, "%s/%s", settings.directory, name);
  *descriptor = system_open(path, flags | O_CLOEXEC, 0);
  return *descriptor >= 0 && system_stat(*descriptor, "", status, AT_EMPTY_PATH) == 0 && S_ISREG(status->st_mode);
}

/* All of the room that the file may ever need, of which only what is looked at costs anything. */
int shared_map(const char **problem)
{
  int descriptor;
  struct stat status;
  if (!open_in_directory(SHARED_FILE, O_RDWR, &descriptor, &status)) {
    *problem = "the shared file cannot be opened";
    return -1;
  }
  void *found = mmap(NULL, SHARED_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor, 0);
  system_close(descriptor);
  if (found == MAP_FAILED) {
    *problem = "the shared file cannot be mapped";
    return -1;
  }
  /* It is nearly all holes: what is read ahead of a word that is looked at would be zeros, megabytes of them. */
  madvise(found, SHARED_BYTES_MAX, MADV_RANDOM);
  /* A core need not hold it. */
  madvise(found, SHARED_BYTES_MAX, MADV_DONTDUMP);
  struct shared_header *header = found;
  uint64_t least = PRESENCE_OFFSET;
  if ((uint64_t)status.st_size >= least && header->gives_back) least = SHARED_BYTES_MAX;
  if ((uint64_t)status.st_size < least || header->magic != SHARED_MAGIC || header->version != FORMAT_VERSION ||
      header->block_bytes != BLOCK_BYTES) {
    munmap(found, SHARED_BYTES_MAX);
    *problem = "the shared file is of another version, or none";
    errno = EINVAL;
    return -1;
  }
  shared = found;
  shared_bytes = (uint64_t)status.st_size;
  return 0;
}

struct shared_header *shared_header(void)
{
  return (struct shared_header *)shared;
}

struct file_state *shared_state(uint32_t number)
{
  return (struct file_state *)(shared + STATES_OFFSET) + number;
}

uint64_t *shared_owner(uint32_t pid)
{
  return (uint64_t *)(shared + OWNERS_OFFSET) + pid;
}

uint32_t *shared_words(const struct list_entry *entry)
{
  return (uint32_t *)(shared + PRESENCE_OFFSET + entry->presence_page * PRESENCE_PAGE_BYTES);
}

struct grown_table *shared_grown_table(void)
{
  return (struct grown_table *)(shared + GROWN_OFFSET);
}

struct grown *shared_grown(uint32_t index)
{
  return (struct grown *)(shared + GROWN_ENTRIES_OFFSET) + index;
}

uint32_t *shared_grown_words(uint32_t index)
{
  return (uint32_t *)(shared + GROWN_WORDS_OFFSET) + (uint64_t)index * SEGMENT_BLOCKS;
}

bool shared_gives_back(void)
{
  return shared != NULL && shared_header()->gives_back != 0;
}

void shared_count(uint64_t bytes)
{
  if (!shared_gives_back()) return;
  struct shared_header *header = shared_header();
  uint64_t before = __atomic_fetch_add(&header->added_bytes, bytes, __ATOMIC_SEQ_CST);
  uint64_t wake_at = __atomic_load_n(&header->wake_at_bytes, __ATOMIC_SEQ_CST);
  if (before >= wake_at || before + bytes < wake_at) return;
  __atomic_fetch_add(&header->wake_event, 1, __ATOMIC_SEQ_CST);
  system_wake(&header->wake_event);
}

/* Whether all of an entry is within the shared file: memory behind its end would end the process. */
static bool is_backed(const struct list_entry *entry)
{
  uint64_t end = PRESENCE_OFFSET + entry->presence_page * PRESENCE_PAGE_BYTES + entry->blocks * 4ull;
  if (entry->number >= FILES_MAX || end > GROWN_OFFSET) return false;
  if (end <= shared_bytes) return true;
  int descriptor;
  struct stat status;
  if (!open_in_directory(SHARED_FILE, O_RDWR, &descriptor, &status)) {
    if (descriptor >= 0) system_close(descriptor);
    return false;
  }
  system_close(descriptor);
  shared_bytes = (uint64_t)status.st_size;
  return end <= shared_bytes;
}

static const struct list_entry *entries_of(const struct list_header *header)
{
  return (const struct list_entry *)(header + 1);
}

void list_try_map(void)
{
  if (list != NULL || shared == NULL || !shared_header()->is_complete) return;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  int descriptor;
  struct stat status;
  if (!open_in_directory(LIST_FILE, O_RDONLY, &descriptor, &status)) {
    if (descriptor >= 0) system_close(descriptor);
    return;
  }
  size_t length = (size_t)status.st_size;
  const struct list_header *found =
      length < sizeof *found ? MAP_FAILED : mmap(NULL, length, PROT_READ, MAP_SHARED, descriptor, 0);
  system_close(descriptor);
  if (found == MAP_FAILED) return;
  if (found->magic != LIST_MAGIC || found->version != FORMAT_VERSION ||
      length != sizeof *found + (uint64_t)found->count * sizeof(struct list_entry)) {
    munmap((void *)found, length);
    return;
  }
  list = found;
}

static int compare_keys(const struct file_key *left, const struct file_key *right)
{
  if (left->tablespace != right->tablespace) return left->tablespace < right->tablespace ? -1 : 1;
  if (left->database != right->database) return left->database < right->database ? -1 : 1;
  if (left->relation != right->relation) return left->relation < right->relation ? -1 : 1;
  if (left->part != right->part) return left->part < right->part ? -1 : 1;
  return 0;
}

/* Where the first entry is that is not before the key. */
static size_t lower_bound(const struct file_key *key)
{
  const struct list_entry *entries = entries_of(list);
  size_t low = 0;
  size_t high = list->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (compare_keys(&entries[middle].key, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

int list_find(const struct file_key *key, struct list_entry *found)
{
  /* Free space maps are never in the list. */
  if (key->tablespace != 0 && key->part >> FORK_SHIFT == FORK_FREE_SPACE) return 0;
  if (shared == NULL) return refuse("the lazy directory could not be opened", settings.directory);
  list_try_map();
  if (list == NULL) {
    int result = agent_find(key, found);
    if (result != 1) return result;
  } else {
    size_t at = lower_bound(key);
    if (at == list->count || compare_keys(&entries_of(list)[at].key, key) != 0) return 0;
    *found = entries_of(list)[at];
  }
  if (!is_backed(found)) return refuse("an entry of the list leads out of the shared file", settings.directory);
  return 1;
}

int list_range(uint32_t tablespace, uint32_t database, const struct list_entry **first, size_t *count)
{
  if (shared == NULL) return refuse("the lazy directory could not be opened", settings.directory);
  list_try_map();
  if (list == NULL) {
    if (agent_wait_for_list() < 0) return -1;
    list_try_map();
    if (list == NULL) return refuse("the list of files cannot be opened", settings.directory);
  }
  struct file_key key = {tablespace, database, 0, 0};
  size_t start = lower_bound(&key);
  key.database++;
  if (key.database == 0) key.tablespace++;
  *first = entries_of(list) + start;
  *count = lower_bound(&key) - start;
  return 0;
}
