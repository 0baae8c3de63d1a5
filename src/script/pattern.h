/* The patterns of Lua 5.4 (manual, section 6.4.1) with a limit on the work: the library's own matcher backtracks for hours on a
 * few hundred bytes and nothing can stop it. Here each step counts, no recursion grows with the subject or the pattern, and the
 * owner is asked now and then whether time is up. Knows nothing of Lua states; never allocates.                              */
#ifndef COX_SCRIPT_PATTERN_H
#define COX_SCRIPT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  COX_PATTERN_CAPTURES_MAX = 32,
  COX_PATTERN_CHOICES_INLINE = 40,  /* enough for most patterns */
  COX_PATTERN_CHOICES_MAX = 2000,   /* a pattern that needs more is too complex */
};
#define COX_PATTERN_STEPS_MAX UINT64_C(1000000000)

struct cox_capture {
  const char *start;
  ptrdiff_t len; /* bytes, or one of: */
};
enum { COX_CAPTURE_OPEN = -1, COX_CAPTURE_POSITION = -2 };

/* Something to come back to when what follows does not match. */
struct cox_choice {
  const char *subject, *pattern, *item;
  unsigned char kind, index;
};

struct cox_matcher {
  const char *subject, *subject_end;
  const char *pattern, *pattern_end;
  int level; /* captures begun */
  struct cox_capture captures[COX_PATTERN_CAPTURES_MAX];
  const char *error;  /* NULL: none */
  int error_index;    /* of the capture that the error is about, -1: about none */
  uint64_t steps, next_look; /* of all matches since the start */
  bool (*is_cut)(void *arg);
  void *arg;
  struct cox_choice *choices;
  size_t choices_max;
};

/* How many choices the pattern may need at once; beyond COX_PATTERN_CHOICES_MAX it is refused while matching. */
size_t cox_pattern_choices(const char *pattern, size_t len);
/* Matches the pattern right at `at`. Its end, with the captures filled; NULL: no match, or `error` says what is wrong. */
const char *cox_pattern_match(struct cox_matcher *matcher, const char *at);

/* What `error` is when the time or the steps are used up. */
extern const char cox_pattern_cut[];

#endif
