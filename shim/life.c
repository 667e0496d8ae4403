#include "shim.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The server runs only as long as its agent does, and only with us: its control file is under another name, which nobody
 * else opens. So where we are not loaded, are of another version, or find no agent, no server starts.
 */

#define HOLD_MS 1
#define HOLDS_BETWEEN_LOOKS 100

static pid_t parent_pid;

static void die_with_parent(void)
{
  prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* Each process that starts later needs the list, and has it mapped already if the one before has. */
static void before_fork(void)
{
  if (shim_is_root_process) list_try_map();
  parent_pid = getpid();
}

static void in_child(void)
{
  shim_is_root_process = false;
  owner_forget();
  agent_forget();
  die_with_parent();
  /* It may have died before that. */
  if (getppid() != parent_pid) raise(SIGKILL);
}

static bool copy_variable(const char *name, char *target)
{
  const char *value = getenv(name);
  if (value == NULL || *value != '/' || strlen(value) >= PATH_BYTES) return false;
  strcpy(target, value);
  return true;
}

static void stop(const char *problem, const char *detail)
{
  say(problem, detail);
  _exit(1);
}

static void begin_server(const char *problem)
{
  char path[PATH_BYTES + 64];
  char pid[16];
  struct stat status;
  die_with_parent();
  if (problem != NULL) stop(problem, settings.directory);
  snprintf(path, sizeof path, "%s/%s", settings.data_directory, GUARDED_CONTROL_FILE);
  if (system_stat(AT_FDCWD, path, &status, 0) < 0) stop("the data directory was not laid out for this", path);
  /* Had the agent died before, nobody would listen: from here on its death is ours. */
  if (agent_hello(&problem) < 0) stop(problem, strerror(errno));
  snprintf(pid, sizeof pid, "%d", (int)getpid());
  setenv("VARVE_SHIM_SERVER", pid, 1);
  shim_is_root_process = true;
  pthread_atfork(before_fork, NULL, in_child);
}

/*
 * The strings are copied, since the server writes its title over the environment. Programs that the server runs are not
 * it: they may read files as it does, and die as they would.
 */
__attribute__((constructor)) static void begin(void)
{
  if (getenv("VARVE_SHIM_DIRECTORY") == NULL && getenv("VARVE_SHIM_DATA") == NULL) return;
  if (!copy_variable("VARVE_SHIM_DIRECTORY", settings.directory) || !copy_variable("VARVE_SHIM_DATA", settings.data_directory))
    stop("VARVE_SHIM_DIRECTORY and VARVE_SHIM_DATA have to be absolute paths", "");
  shim_is_active = true;
  const char *problem = NULL;
  if (shared_map(&problem) == 0) problem = NULL;
  const char *server = getenv("VARVE_SHIM_SERVER");
  if (server == NULL || atoi(server) == (int)getpid()) begin_server(problem);
  else pthread_atfork(NULL, NULL, agent_forget);
}

/* WAL is what everything waits for that writes. Nobody is woken: the agent has no way to do it. */
void life_hold_wal(void)
{
  struct shared_header *header = shared_header();
  if (header == NULL) return;
  for (unsigned turn = 0; header->holds_wal; turn++) {
    if (turn % HOLDS_BETWEEN_LOOKS == HOLDS_BETWEEN_LOOKS - 1 && !agent_is_alive()) return;
    system_sleep(HOLD_MS);
  }
}
