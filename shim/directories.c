#include "directories.h"
#include "shim.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A directory is listed with the files that storage has and the file system has not yet: first those, as they were when it
 * was opened, then what the file system lists, without those that were made meanwhile. The process that the agent has
 * started looks for left-over temporary files when it begins, and sees the file system alone: it would have to wait for
 * the list.
 */
struct listing {
  DIR *directory;
  const struct list_entry *entries;
  size_t count;
  size_t next;
  struct listing *others;
  struct dirent current;
  /* A bit for each entry: it was pending. */
  uint8_t was_pending[];
};

static struct listing *listings;

/* readdir(3) is the same function for both names on the machines that this is for. */
static DIR *(*real_opendir)(const char *);
static struct dirent *(*real_readdir)(DIR *);
static int (*real_closedir)(DIR *);
static void (*real_rewinddir)(DIR *);

static void find_functions(void)
{
  *(void **)&real_opendir = system_next("opendir");
  *(void **)&real_readdir = system_next("readdir");
  *(void **)&real_closedir = system_next("closedir");
  *(void **)&real_rewinddir = system_next("rewinddir");
}

static struct listing *find_listing(DIR *directory)
{
  struct listing *listing = listings;
  while (listing != NULL && listing->directory != directory) listing = listing->others;
  return listing;
}

static void note_pending(struct listing *listing)
{
  for (size_t index = 0; index < listing->count; index++) {
    uint32_t word = __atomic_load_n(&shared_state(listing->entries[index].number)->word, __ATOMIC_SEQ_CST);
    bool is_pending = word == FILE_PENDING || (word & WORD_OWNED) != 0;
    if (is_pending) listing->was_pending[index / 8] |= (uint8_t)(1u << index % 8);
    else listing->was_pending[index / 8] &= (uint8_t)~(1u << index % 8);
  }
  listing->next = 0;
}

DIR *directory_open(const char *text)
{
  struct path path;
  if (real_opendir == NULL) find_functions();
  path_resolve(AT_FDCWD, text, &path);
  if (path.kind != PATH_DIRECTORY || shim_is_root_process) return real_opendir(text);
  const struct list_entry *entries;
  size_t count;
  if (list_range(path.key.tablespace, path.key.database, &entries, &count) < 0) return NULL;
  size_t bytes = (count + 7) / 8;
  struct listing *listing = malloc(sizeof *listing + bytes);
  if (listing == NULL) return NULL;
  listing->entries = entries;
  listing->count = count;
  note_pending(listing);
  listing->directory = real_opendir(text);
  if (listing->directory == NULL) {
    int problem = errno;
    free(listing);
    errno = problem;
    return NULL;
  }
  listing->others = listings;
  listings = listing;
  return listing->directory;
}

static bool was_pending(const struct listing *listing, size_t index)
{
  return listing->was_pending[index / 8] >> index % 8 & 1;
}

/* Whether a name was listed already. */
static bool was_listed(const struct listing *listing, const char *name)
{
  struct file_key key;
  if (!path_parse_name(name, &key)) return false;
  size_t low = 0;
  size_t high = listing->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    const struct file_key *other = &listing->entries[middle].key;
    bool is_before = other->relation != key.relation ? other->relation < key.relation : other->part < key.part;
    if (is_before) low = middle + 1;
    else high = middle;
  }
  if (low == listing->count) return false;
  const struct file_key *other = &listing->entries[low].key;
  return other->relation == key.relation && other->part == key.part && was_pending(listing, low);
}

struct dirent *directory_read(DIR *directory)
{
  if (real_readdir == NULL) find_functions();
  struct listing *listing = find_listing(directory);
  if (listing == NULL) return real_readdir(directory);
  while (listing->next < listing->count) {
    size_t index = listing->next++;
    if (!was_pending(listing, index)) continue;
    struct dirent *entry = &listing->current;
    entry->d_ino = listing->entries[index].number + 1ull;
    entry->d_off = 0;
    entry->d_type = DT_REG;
    path_format_name(&listing->entries[index].key, entry->d_name, sizeof entry->d_name);
    entry->d_reclen = (uint16_t)(offsetof(struct dirent, d_name) + strlen(entry->d_name) + 1);
    return entry;
  }
  struct dirent *entry;
  do entry = real_readdir(directory);
  while (entry != NULL && was_listed(listing, entry->d_name));
  return entry;
}

void directory_rewind(DIR *directory)
{
  if (real_rewinddir == NULL) find_functions();
  struct listing *listing = find_listing(directory);
  if (listing != NULL) note_pending(listing);
  real_rewinddir(directory);
}

int directory_close(DIR *directory)
{
  if (real_closedir == NULL) find_functions();
  for (struct listing **at = &listings; *at != NULL; at = &(*at)->others) {
    struct listing *listing = *at;
    if (listing->directory != directory) continue;
    *at = listing->others;
    free(listing);
    break;
  }
  return real_closedir(directory);
}
