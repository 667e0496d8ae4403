#include "shim.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * A process number says nothing without when its process began, since it is given to others later. So each process that
 * owns words puts its beginning into the place of its number, and counts up its *life* if somebody else's was there: the
 * words of that one have another life, and so a dead owner.
 */

#define WAIT_MS 10

static uint32_t own_word;
static pid_t own_pid;

/* Clock ticks from the machine's start to the process's, 0 where there is no such process or it does nothing any more. */
static uint64_t start_of(uint32_t pid, bool *is_known)
{
  char path[32];
  char text[1024];
  *is_known = true;
  snprintf(path, sizeof path, "/proc/%u/stat", pid);
  int descriptor = system_open(path, O_RDONLY | O_CLOEXEC, 0);
  if (descriptor < 0) {
    *is_known = errno == ENOENT;
    return 0;
  }
  ssize_t length = system_read(descriptor, text, sizeof text - 1);
  int problem = errno;
  system_close(descriptor);
  if (length <= 0) {
    *is_known = length < 0 && problem == ESRCH;
    return 0;
  }
  text[length] = 0;
  /* The program's name may have blanks and brackets in it (proc_pid_stat(5)). */
  char *at = strrchr(text, ')');
  if (at == NULL || at[1] != ' ') {
    *is_known = false;
    return 0;
  }
  if (at[2] == 'Z' || at[2] == 'X') return 0;
  at += 2;
  for (int field = 3; field < 22; field++) {
    at = strchr(at, ' ');
    if (at == NULL) {
      *is_known = false;
      return 0;
    }
    at++;
  }
  return strtoull(at, NULL, 10);
}

uint32_t owner_word(void)
{
  pid_t pid = getpid();
  if (own_pid == pid) return own_word;
  if (pid <= 0 || (uint32_t)pid >= OWNERS_MAX) return 0;
  bool is_known;
  uint64_t start = start_of((uint32_t)pid, &is_known);
  if (!is_known || start == 0) return 0;
  uint64_t *owner = shared_owner((uint32_t)pid);
  uint64_t before = __atomic_load_n(owner, __ATOMIC_SEQ_CST);
  uint64_t life = before & OWNER_LIFE_MASK;
  if (before >> OWNER_START_SHIFT != start) {
    life = (life + 1) & OWNER_LIFE_MASK;
    __atomic_store_n(owner, start << OWNER_START_SHIFT | life, __ATOMIC_SEQ_CST);
  }
  own_word = WORD_OWNED | (uint32_t)life << OWNER_PID_BITS | (uint32_t)pid;
  own_pid = pid;
  return own_word;
}

void owner_forget(void)
{
  own_pid = 0;
}

/* WORD_HELD says nothing of who it is. */
bool owner_is_dead(uint32_t word)
{
  uint32_t pid = word & (OWNERS_MAX - 1);
  uint32_t life = word >> OWNER_PID_BITS & OWNER_LIFE_MASK;
  uint64_t owner = __atomic_load_n(shared_owner(pid), __ATOMIC_SEQ_CST);
  if ((owner & OWNER_LIFE_MASK) != life) return true;
  if (kill((pid_t)pid, 0) < 0 && errno == ESRCH) return true;
  bool is_known;
  uint64_t start = start_of(pid, &is_known);
  return is_known && start != owner >> OWNER_START_SHIFT;
}

bool owner_wait(struct file_state *state, uint32_t *word, uint32_t seen)
{
  __atomic_fetch_add(&state->waiters, 1, __ATOMIC_SEQ_CST);
  uint32_t event = __atomic_load_n(&state->event, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == seen) system_wait(&state->event, event, WAIT_MS);
  __atomic_fetch_sub(&state->waiters, 1, __ATOMIC_SEQ_CST);
  /* A file of which many words change wakes us for others'. */
  return __atomic_load_n(word, __ATOMIC_SEQ_CST) == seen && owner_is_dead(seen);
}

void owner_wake(struct file_state *state)
{
  /* One that died while it waited leaves its count behind, which costs others a system call each. */
  if (__atomic_load_n(&state->waiters, __ATOMIC_SEQ_CST) == 0) return;
  __atomic_fetch_add(&state->event, 1, __ATOMIC_SEQ_CST);
  system_wake(&state->event);
}
