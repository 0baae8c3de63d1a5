/* Programs that a worker runs without waiting for them: input, output and end come through its epoll. One thread. */
#ifndef COX_NET_PROGRAM_H
#define COX_NET_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/fiber.h"

enum { COX_PROGRAMS_MAX = 8, COX_PROGRAM_OUTPUT_MAX = 64 * 1024 };

struct cox_program;

struct cox_programs {
  int epoll_fd;
  struct cox_program *first;
  size_t count;
  pid_t killed[COX_PROGRAMS_MAX * 2]; /* whose end has not come yet; 0: free */
};

void cox_programs_init(struct cox_programs *programs, int epoll_fd);
/* Waits for the ends of those that were killed; every program must have been stopped. */
void cox_programs_fini(struct cox_programs *programs);

/* Starts the program at request->url with request->body on its standard input. NULL with half a sentence in `*why`. */
struct cox_program *cox_program_start(struct cox_programs *programs, const struct cox_io_request *request, void *user, const char **why);
/* Its time is over: it is killed, and its reply says so. */
void cox_program_expire(struct cox_program *program);
/* Kills it when it still runs, and frees it. */
void cox_program_stop(struct cox_program *program);
/* What came of one that has ended; borrows from it. Good only when it exited with 0. */
struct cox_io_reply cox_program_reply(const struct cox_program *program);

/* False: that descriptor is none of theirs. */
bool cox_programs_event(struct cox_programs *programs, int fd);
/* Is there anything for the next function? */
bool cox_programs_has_ended(const struct cox_programs *programs);
/* The `user` of one that has ended; each once. NULL: none. */
void *cox_programs_take_ended(struct cox_programs *programs);

#endif
