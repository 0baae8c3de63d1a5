/* How long the threads of some processes were ready to run and had no processor: what the machine did to a figure, and not the program. */
#ifndef TOOLS_BENCH_LACK_H
#define TOOLS_BENCH_LACK_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

enum { BENCH_LACK_THREADS = 64 };

struct bench_lack {
  int fds[BENCH_LACK_THREADS]; /* of /proc/PID/task/TID/schedstat */
  size_t count;
};

/* The threads that the process has now; none on a kernel that does not tell. */
static inline void bench_lack_watch(struct bench_lack *lack, pid_t pid) {
  char path[288];
  snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
  DIR *const folder = opendir(path);
  for (const struct dirent *entry; folder != NULL && lack->count < BENCH_LACK_THREADS && (entry = readdir(folder)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/%ld/task/%.20s/schedstat", (long)pid, entry->d_name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) lack->fds[lack->count++] = fd;
  }
  if (folder != NULL) closedir(folder);
}

/* Milliseconds so far, of all of them together. */
static inline double bench_lack_ms(const struct bench_lack *lack) {
  double sum_ms = 0;
  for (size_t i = 0; i < lack->count; i++) {
    char text[96];
    const ssize_t len = pread(lack->fds[i], text, sizeof text - 1, 0);
    if (len <= 0) continue; /* it has ended */
    text[len] = '\0';
    char *end;
    strtoull(text, &end, 10); /* nanoseconds that it ran */
    sum_ms += (double)strtoull(end, NULL, 10) / 1e6;
  }
  return sum_ms;
}

static inline void bench_lack_fini(struct bench_lack *lack) {
  for (size_t i = 0; i < lack->count; i++) close(lack->fds[i]);
  lack->count = 0;
}

#endif
