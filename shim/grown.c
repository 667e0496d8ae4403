#include "shim.h"

#include <sched.h>
#include <string.h>

/*
 * A table of files by their keys, open to all processes. It is looked through without a lock: an entry is whole before it
 * is said to be live. Who adds or removes one owns the table. An entry whose file is gone is used for another one, since
 * nobody reads or writes a file that is gone: a server closes what it has open of a relation before its number is used
 * again, and would lose what it wrote otherwise.
 */

/* How far from its place an entry may be. */
#define PROBES_MAX 256u
/* Looks at whether the owner of the table still lives are rare: it owns it for microseconds. */
#define TURNS_BETWEEN_LOOKS 1000u

static uint32_t place_of(const struct file_key *key)
{
  uint64_t hash = key->relation * 0x9e3779b97f4a7c15ull;
  hash = (hash ^ key->database) * 0xbf58476d1ce4e5b9ull;
  hash = (hash ^ key->part ^ (uint64_t)key->tablespace << 32) * 0x94d049bb133111ebull;
  return (uint32_t)(hash >> 40) % GROWN_MAX;
}

static struct grown *probe(const struct file_key *key, uint32_t turn)
{
  return shared_grown((place_of(key) + turn) % GROWN_MAX);
}

static uint32_t use_of(const struct grown *grown)
{
  return __atomic_load_n(&grown->use, __ATOMIC_SEQ_CST);
}

struct grown *grown_find(const struct file_key *key)
{
  if (!shared_gives_back()) return NULL;
  for (uint32_t turn = 0; turn < PROBES_MAX; turn++) {
    struct grown *grown = probe(key, turn);
    uint32_t use = use_of(grown);
    if (use == GROWN_EMPTY) return NULL;
    if (use == GROWN_LIVE && memcmp(&grown->key, key, sizeof *key) == 0) return grown;
  }
  return NULL;
}

uint32_t *grown_words(const struct grown *grown)
{
  return shared_grown_words((uint32_t)(grown - shared_grown(0)));
}

static bool lock_table(struct grown_table *table)
{
  uint32_t owner = owner_word();
  if (owner == 0) return false;
  for (uint32_t turn = 1;; turn++) {
    uint32_t before = 0;
    if (__atomic_compare_exchange_n(&table->lock, &before, owner, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return true;
    /* What it has left is not live, or still is: both are whole. */
    if (turn % TURNS_BETWEEN_LOOKS == 0 && owner_is_dead(before) &&
        __atomic_compare_exchange_n(&table->lock, &before, owner, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      return true;
    sched_yield();
  }
}

static void unlock_table(struct grown_table *table)
{
  __atomic_store_n(&table->lock, 0, __ATOMIC_SEQ_CST);
}

static struct grown *add(const struct file_key *key)
{
  for (uint32_t turn = 0; turn < PROBES_MAX; turn++) {
    struct grown *grown = probe(key, turn);
    if (use_of(grown) == GROWN_LIVE) continue;
    grown->key = *key;
    grown->high = 0;
    memset(&grown->state, 0, sizeof grown->state);
    __atomic_store_n(&grown->use, GROWN_LIVE, __ATOMIC_SEQ_CST);
    return grown;
  }
  return NULL;
}

struct grown *grown_make(const struct file_key *key)
{
  struct grown *grown = grown_find(key);
  if (grown != NULL || !shared_gives_back()) return grown;
  struct grown_table *table = shared_grown_table();
  if (table->is_full) return NULL;
  if (!lock_table(table)) {
    table->is_full = 1;
    return NULL;
  }
  grown = grown_find(key);
  if (grown == NULL && !table->is_full) {
    grown = add(key);
    /* Whoever has opened this one without an entry does not know of what others would give back. */
    if (grown == NULL) table->is_full = 1;
  }
  unlock_table(table);
  return grown;
}

void grown_free(struct grown *grown)
{
  struct grown_table *table = shared_grown_table();
  uint32_t *words = grown_words(grown);
  if (!lock_table(table)) return;
  uint32_t high = __atomic_load_n(&grown->high, __ATOMIC_SEQ_CST);
  for (uint32_t block = 0; block < high; block++) __atomic_store_n(&words[block], 0, __ATOMIC_SEQ_CST);
  __atomic_store_n(&grown->use, GROWN_REMOVED, __ATOMIC_SEQ_CST);
  unlock_table(table);
}
