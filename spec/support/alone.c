/* Runs a test with a network of its own, and leaves nothing behind: specs that run side by side then cannot meet on a port, and a
 * daemon that a failed spec forgot ends with it.
 *
 *   alone PROGRAM [ARGUMENT…]   as PROGRAM, and its exit code
 *   alone                       0: networks of one's own can be had here; 1: they cannot, and tests share the machine's        */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static bool write_file(const char *path, const char *text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  const bool is_written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  if (fd >= 0) close(fd);
  return is_written;
}

/* Without root: as root of a user namespace that knows only us. */
static bool unshare_as_user(void) {
  char users[64], groups[64];
  snprintf(users, sizeof users, "%u %u 1", (unsigned)getuid(), (unsigned)getuid());
  snprintf(groups, sizeof groups, "%u %u 1", (unsigned)getgid(), (unsigned)getgid());
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
  return write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/uid_map", users) && write_file("/proc/self/gid_map", groups);
}

static bool raise_loopback(void) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool is_up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  if (fd >= 0) close(fd);
  return is_up;
}

static bool take_network(void) { return (unshare(CLONE_NEWNET) == 0 || unshare_as_user()) && raise_loopback(); }

static _Noreturn void become(char **words) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  execvp(words[0], words);
  fprintf(stderr, "alone: running %s failed: %s\n", words[0], strerror(errno));
  _exit(127);
}

/* What a test started and did not end has become our child. */
static void end_the_rest(void) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
  for (;;) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t count = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0) close(fd);
    if (count <= 0) return;
    text[count] = '\0';
    for (char *word = strtok(text, " \n"); word != NULL; word = strtok(NULL, " \n")) kill((pid_t)atol(word), SIGKILL);
    if (waitpid(-1, NULL, 0) < 0) return;
  }
}

int main(int argc, char **argv) {
  const bool has_network = take_network();
  if (argc < 2) return has_network ? 0 : 1;
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  const pid_t child = fork();
  if (child == 0) become(argv + 1);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) {
    fprintf(stderr, "alone: starting %s failed: %s\n", argv[1], strerror(errno));
    return 126;
  }
  end_the_rest();
  if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
  signal(WTERMSIG(status), SIG_DFL);
  raise(WTERMSIG(status)); /* so that ctest says how it ended */
  return 128 + WTERMSIG(status);
}
