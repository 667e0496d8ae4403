#include "shim.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* So often whoever waits for the agent looks whether it is to give up. */
#define LOOK_MS 100

/*
 * One connection for each process that ever needs one. A fork closes what it has inherited: two processes that talk over
 * one connection would take each other's replies.
 */
static int connection = -1;
static pid_t connection_pid;
static pid_t agent_pid;
/* What was asked last was given up. */
static bool was_interrupted;

static void close_connection(void)
{
  if (connection >= 0) system_close(connection);
  connection = -1;
}

void agent_forget(void)
{
  close_connection();
}

static int connect_to_agent(void)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int length = snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", settings.directory, SOCKET_FILE);
  if (length >= (int)sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  while (connect(descriptor, (struct sockaddr *)&address, sizeof address) < 0) {
    if (errno == EINTR) continue;
    int problem = errno;
    system_close(descriptor);
    errno = problem;
    return -1;
  }
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid > 0) agent_pid = peer.pid;
  connection = descriptor;
  connection_pid = getpid();
  return 0;
}

static bool send_all(const void *bytes, size_t length)
{
  const uint8_t *at = bytes;
  while (length > 0) {
    ssize_t count = send(connection, at, length, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    at += count;
    length -= (size_t)count;
  }
  return true;
}

/* False: whoever asked is to give up. A signal may have come just before: so it is looked at now and then. */
static bool wait_for_bytes(void)
{
  struct pollfd waiting = {.fd = connection, .events = POLLIN};
  while (poll(&waiting, 1, LOOK_MS) <= 0) {
    was_interrupted = interrupts_are_pending();
    if (was_interrupted) return false;
  }
  return true;
}

static bool receive_all(void *target, size_t length)
{
  uint8_t *at = target;
  while (length > 0) {
    ssize_t count = recv(connection, at, length, MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {
      if (!wait_for_bytes()) return false;
      continue;
    }
    if (count <= 0) return false;
    at += count;
    length -= (size_t)count;
  }
  return true;
}

/* Gives the reply's status, or -1 where the connection is of no use. */
static int ask_once(const struct request *request, void *payload, uint32_t payload_bytes)
{
  struct reply reply;
  if (!send_all(request, sizeof *request) || !receive_all(&reply, sizeof reply)) return -1;
  if (reply.kind != request->kind || reply.status > REPLY_FAILED) return -1;
  if (reply.payload_bytes != (reply.status == REPLY_OK ? payload_bytes : 0)) return -1;
  if (reply.payload_bytes > 0 && !receive_all(payload, payload_bytes)) return -1;
  return (int)reply.status;
}

/* Asks anew over a new connection where the old one is of no use: what is asked may be asked twice. */
static int ask(const struct request *request, void *payload, uint32_t payload_bytes)
{
  was_interrupted = false;
  if (connection >= 0 && connection_pid != getpid()) close_connection();
  for (int attempt = 0; attempt < 2; attempt++) {
    if (connection < 0 && connect_to_agent() < 0) break;
    int status = ask_once(request, payload, payload_bytes);
    if (status >= 0) return status;
    /* Its reply is still to come. */
    close_connection();
    if (was_interrupted) {
      errno = ECANCELED;
      return -1;
    }
  }
  return refuse("the agent does not answer", settings.directory);
}

int agent_hello(const char **problem)
{
  struct request request = {.kind = REQUEST_HELLO, .arguments = {FORMAT_VERSION, (uint32_t)getpid()}};
  int status = -1;
  if (connect_to_agent() < 0) {
    *problem = "no agent listens";
    return -1;
  }
  status = ask_once(&request, NULL, 0);
  close_connection();
  if (status == REPLY_OK) return 0;
  *problem = "the agent does not take this server";
  errno = EPROTO;
  return -1;
}

int agent_find(const struct file_key *key, struct list_entry *found)
{
  struct request request = {.kind = REQUEST_FIND,
                            .arguments = {key->tablespace, key->database, key->relation, key->part}};
  int status = ask(&request, found, sizeof *found);
  if (status == REPLY_OK) return 1;
  if (status == REPLY_NONE) return 0;
  if (was_interrupted) return -1;
  return refuse("the agent has no list of files", settings.directory);
}

int agent_wait_for_list(void)
{
  struct request request = {.kind = REQUEST_LIST};
  if (ask(&request, NULL, 0) == REPLY_OK) return 0;
  if (was_interrupted) return -1;
  return refuse("the agent has no list of files", settings.directory);
}

static int ask_for_blocks(const struct request *request, uint32_t count, void *target)
{
  if (ask(request, target, count * BLOCK_BYTES) == REPLY_OK) return 0;
  /* The agent says why, each time. */
  errno = was_interrupted ? ECANCELED : EIO;
  return -1;
}

int agent_read(uint32_t number, uint32_t block, uint32_t count, void *target)
{
  struct request request = {.kind = REQUEST_READ, .arguments = {number, block, count}};
  return ask_for_blocks(&request, count, target);
}

int agent_read_again(const struct file_key *key, uint32_t block, uint32_t count, uint32_t ahead, void *target)
{
  struct request request = {
      .kind = REQUEST_READ_AGAIN,
      .arguments = {key->tablespace, key->database, key->relation, key->part, block, count, ahead}};
  return ask_for_blocks(&request, count, target);
}

int agent_give(uint32_t used_kib, uint32_t given_kib, uint32_t flags, struct permission *permission)
{
  struct request request = {.kind = REQUEST_GIVE, .arguments = {used_kib, given_kib, flags}};
  return ask(&request, permission, sizeof *permission) == REPLY_OK ? 0 : -1;
}

/* A hint, which is dropped where it cannot be sent at once. */
static void send_hint(struct request request)
{
  if (connection >= 0 && connection_pid != getpid()) close_connection();
  if (connection < 0 && connect_to_agent() < 0) return;
  ssize_t sent = send(connection, &request, sizeof request, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent == (ssize_t)sizeof request || (sent < 0 && (errno == EAGAIN || errno == EINTR))) return;
  /* Half a request, or nobody to read it. */
  close_connection();
}

void agent_prefetch(uint32_t number, uint32_t block, uint32_t count)
{
  send_hint((struct request){.kind = REQUEST_PREFETCH, .arguments = {number, block, count}});
}

void agent_prefetch_again(const struct file_key *key, uint32_t block, uint32_t count)
{
  send_hint((struct request){.kind = REQUEST_PREFETCH_AGAIN,
                             .arguments = {key->tablespace, key->database, key->relation, key->part, block, count}});
}

bool agent_is_alive(void)
{
  /* Without a number it is in a namespace of its own, and nobody can know. */
  if (agent_pid <= 0) return true;
  return kill(agent_pid, 0) == 0 || errno != ESRCH;
}
