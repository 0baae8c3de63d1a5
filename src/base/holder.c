#include "base/holder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LISTENING = 0x0A /* TCP_LISTEN in /proc/net/tcp */ };

void cox_holder_name(pid_t pid, char out[COX_HOLDER_TEXT]) {
  char path[64], name[17] = "";
  snprintf(path, sizeof path, "/proc/%ld/comm", (long)pid);
  FILE *const file = fopen(path, "re");
  if (file != NULL && fgets(name, sizeof name, file) != NULL) name[strcspn(name, "\n")] = '\0';
  if (file != NULL) fclose(file);
  snprintf(out, COX_HOLDER_TEXT, "process %ld%s%s%s", (long)pid, name[0] != '\0' ? " (" : "", name, name[0] != '\0' ? ")" : "");
}

/* The inode of the socket that listens on that port; 0: none. */
static unsigned long listener_of(const char *table, unsigned port) {
  char line[512];
  unsigned long found = 0;
  FILE *const file = fopen(table, "re");
  while (file != NULL && found == 0 && fgets(line, sizeof line, file) != NULL) {
    unsigned local, state;
    unsigned long inode;
    /* "sl local_address:port remote:port state tx:rx tr:when retransmits uid timeout inode" */
    if (sscanf(line, "%*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu", &local, &state, &inode) != 3) continue;
    if (local == port && state == LISTENING) found = inode;
  }
  if (file != NULL) fclose(file);
  return found;
}

static bool holds(const char *pid, unsigned long inode) {
  char folder[64], path[384], target[64], wanted[64];
  snprintf(folder, sizeof folder, "/proc/%.16s/fd", pid);
  snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
  DIR *const fds = opendir(folder);
  bool is_found = false;
  for (struct dirent *entry; fds != NULL && !is_found && (entry = readdir(fds)) != NULL;) {
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    const ssize_t len = readlink(path, target, sizeof target - 1);
    if (len <= 0) continue;
    target[len] = '\0';
    is_found = strcmp(target, wanted) == 0;
  }
  if (fds != NULL) closedir(fds);
  return is_found;
}

void cox_holder_of_port(unsigned port, char out[COX_HOLDER_TEXT]) {
  snprintf(out, COX_HOLDER_TEXT, "another process");
  unsigned long inode = listener_of("/proc/net/tcp", port);
  if (inode == 0) inode = listener_of("/proc/net/tcp6", port);
  DIR *const processes = inode != 0 ? opendir("/proc") : NULL;
  for (struct dirent *entry; processes != NULL && (entry = readdir(processes)) != NULL;) {
    if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name) || !holds(entry->d_name, inode)) continue;
    cox_holder_name((pid_t)strtol(entry->d_name, NULL, 10), out);
    break;
  }
  if (processes != NULL) closedir(processes);
}
