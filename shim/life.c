#include "shim.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The server runs only as long as its agent does, and only with us: its control file is under another name, which nobody
 * else opens. So where we are not loaded, are of another version, or find no agent, no server starts.
 */

#define HOLD_MS 1
#define HOLDS_BETWEEN_LOOKS 100
/* Where WAL is slowed: so many bytes in a millisecond, and for each write at least and at most this. */
#define SLOWED_BYTES_PER_MS 1024
#define SLOWED_MS_MIN 10
#define SLOWED_MS_MAX 1000

static pid_t parent_pid;

/* The server, and what it has forked; not the programs that it runs. */
static bool is_of_server;

static void die_with_parent(void)
{
  syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

/*
 * A server's process asks for a signal that lets it look around and go on for a while when its postmaster dies
 * (PostmasterDeathSignalInit). It would go on in a directory that is another server's by then.
 */
__attribute__((visibility("default"))) int prctl(int option, ...)
{
  unsigned long values[4];
  va_list arguments;
  va_start(arguments, option);
  for (int index = 0; index < 4; index++) values[index] = va_arg(arguments, unsigned long);
  va_end(arguments);
  if (is_of_server && option == PR_SET_PDEATHSIG) values[0] = SIGKILL;
  return (int)syscall(SYS_prctl, option, values[0], values[1], values[2], values[3]);
}

#define AGENT_DIED (SIGRTMIN + 6)
static char children_path[64];

static void kill_listed(const char *text, ssize_t length, int *number)
{
  for (ssize_t at = 0; at < length; at++) {
    if (text[at] >= '0' && text[at] <= '9') {
      *number = *number * 10 + (text[at] - '0');
    } else {
      if (*number > 1) kill(*number, SIGKILL);
      *number = 0;
    }
  }
}

/*
 * The postmaster goes last: a backend that sees it dead waits for no standby any more (SyncRepWaitForLSN), and goes on for a
 * moment as if a quorum had what it has committed. Nothing is forked meanwhile: this is the only thread.
 */
static void end_server(int signal)
{
  char text[4096];
  int number = 0;
  (void)signal;
  int descriptor = system_open(children_path, O_RDONLY | O_CLOEXEC, 0);
  for (ssize_t length; descriptor >= 0 && (length = system_read(descriptor, text, sizeof text)) > 0;)
    kill_listed(text, length, &number);
  if (number > 1) kill(number, SIGKILL);
  if (descriptor >= 0) {
    while (waitpid(-1, NULL, 0) > 0) continue;
  }
  raise(SIGKILL);
}

static void end_with_agent(void)
{
  struct sigaction action = {.sa_handler = end_server};
  sigfillset(&action.sa_mask);
  snprintf(children_path, sizeof children_path, "/proc/self/task/%d/children", (int)getpid());
  bool has_children = access(children_path, R_OK) == 0 && sigaction(AGENT_DIED, &action, NULL) == 0;
  syscall(SYS_prctl, PR_SET_PDEATHSIG, has_children ? AGENT_DIED : SIGKILL, 0, 0, 0);
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
  end_with_agent();
  if (problem != NULL) stop(problem, settings.directory);
  snprintf(path, sizeof path, "%s/%s", settings.data_directory, GUARDED_CONTROL_FILE);
  if (system_stat(AT_FDCWD, path, &status, 0) < 0) stop("the data directory was not laid out for this", path);
  /* Had the agent died before, nobody would listen: from here on its death is ours. */
  if (agent_hello(&problem) < 0) stop(problem, strerror(errno));
  snprintf(pid, sizeof pid, "%d", (int)getpid());
  setenv("VARVE_SHIM_SERVER", pid, 1);
  interrupts_find();
  shim_is_root_process = true;
  is_of_server = true;
  pthread_atfork(before_fork, NULL, in_child);
}

static void begin_evictor(const char *problem)
{
  die_with_parent();
  if (problem != NULL || !shared_gives_back()) stop(problem != NULL ? problem : "nothing is given back here", "");
  /* Had the agent died before, it does not answer. */
  evictor_run();
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
  if (getenv("VARVE_SHIM_EVICTOR") != NULL) begin_evictor(problem);
  const char *server = getenv("VARVE_SHIM_SERVER");
  if (server == NULL || atoi(server) == (int)getpid()) begin_server(problem);
  else pthread_atfork(NULL, NULL, agent_forget);
}

/* WAL is what everything waits for that writes. Nobody is woken: the agent has no way to do it. */
void life_hold_wal(size_t length)
{
  struct shared_header *header = shared_header();
  if (header == NULL) return;
  size_t slowed_ms = length / SLOWED_BYTES_PER_MS;
  if (slowed_ms < SLOWED_MS_MIN) slowed_ms = SLOWED_MS_MIN;
  if (slowed_ms > SLOWED_MS_MAX) slowed_ms = SLOWED_MS_MAX;
  for (unsigned turn = 0; header->holds_wal; turn++) {
    if (header->holds_wal == WAL_SLOWED && turn * HOLD_MS >= slowed_ms) return;
    if (turn % HOLDS_BETWEEN_LOOKS == HOLDS_BETWEEN_LOOKS - 1 && !agent_is_alive()) return;
    system_sleep(HOLD_MS);
  }
}
