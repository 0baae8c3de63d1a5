#include "script/pattern.h"

#include <ctype.h>
#include <string.h>

enum { LOOK_EVERY = 4096 /* steps */, BYTES_PER_STEP = 64 /* of memcmp */, SET_BYTES_PER_STEP = 8 };

const char cox_pattern_cut[] = "the pattern takes too long on this text: make it simpler, or the text shorter";

enum choice_kind {
  CHOICE_FEWER, /* a repetition took `subject` … `item`: try one less */
  CHOICE_MORE,  /* a short repetition may take one more of `item` */
  CHOICE_SKIP,  /* an optional item was taken: try without */
  UNDO_OPEN,    /* no choice: on the way back the capture begun last goes */
  UNDO_CLOSE,   /* on the way back capture `index` is open again */
};

/* ---- steps and errors ---- */

static const char *fail(struct cox_matcher *m, const char *error) {
  m->error = error;
  return NULL;
}

static bool spend(struct cox_matcher *m, uint64_t steps) {
  m->steps += steps;
  if (m->steps < m->next_look) return true;
  m->next_look = m->steps + LOOK_EVERY;
  if (m->steps < COX_PATTERN_STEPS_MAX && !m->is_cut(m->arg)) return true;
  fail(m, cox_pattern_cut);
  return false;
}

static bool push(struct cox_matcher *m, size_t *depth, struct cox_choice choice) {
  if (*depth >= m->choices_max) {
    fail(m, "pattern too complex");
    return false;
  }
  m->choices[(*depth)++] = choice;
  return true;
}

/* ---- single characters ---- */

static bool is_in_class(int byte, int class_) {
  bool is_in;
  switch (tolower(class_)) {
    case 'a': is_in = isalpha(byte) != 0; break;
    case 'c': is_in = iscntrl(byte) != 0; break;
    case 'd': is_in = isdigit(byte) != 0; break;
    case 'g': is_in = isgraph(byte) != 0; break;
    case 'l': is_in = islower(byte) != 0; break;
    case 'p': is_in = ispunct(byte) != 0; break;
    case 's': is_in = isspace(byte) != 0; break;
    case 'u': is_in = isupper(byte) != 0; break;
    case 'w': is_in = isalnum(byte) != 0; break;
    case 'x': is_in = isxdigit(byte) != 0; break;
    case 'z': is_in = byte == 0; break; /* of Lua 5.1, still understood */
    default: return class_ == byte;
  }
  return isupper(class_) != 0 ? !is_in : is_in;
}

/* Behind the set that begins at `p`, which is its "[". A "]" that comes first belongs to the set. */
static const char *end_of_set(struct cox_matcher *m, const char *p) {
  const char *const begin = p++;
  if (p < m->pattern_end && *p == '^') p++;
  for (bool is_first = true; p < m->pattern_end; is_first = false) {
    if (*p == ']' && !is_first) {
      m->steps += (uint64_t)(p - begin) / SET_BYTES_PER_STEP;
      return p + 1;
    }
    p += *p == '%' && p + 1 < m->pattern_end ? 2 : 1;
  }
  return fail(m, "malformed pattern (missing ']')");
}

/* Behind the item at `p`, without what says how often. */
static const char *end_of_item(struct cox_matcher *m, const char *p) {
  if (*p == '[') return end_of_set(m, p);
  if (*p != '%') return p + 1;
  return p + 1 < m->pattern_end ? p + 2 : fail(m, "malformed pattern (ends with '%')");
}

/* `end` is behind the "]". */
static bool is_in_set(int byte, const char *p, const char *end) {
  const char *const last = end - 1;
  const bool is_negated = p[1] == '^';
  for (p += is_negated ? 2 : 1; p < last; p++) {
    if (*p == '%') {
      p++;
      if (is_in_class(byte, (unsigned char)*p)) return !is_negated;
    } else if (p[1] == '-' && p + 2 < last) {
      if ((unsigned char)p[0] <= byte && byte <= (unsigned char)p[2]) return !is_negated;
      p += 2;
    } else if ((unsigned char)*p == byte) {
      return !is_negated;
    }
  }
  return is_negated;
}

/* Does the item `p` … `end` take the byte at `s`? A long set counts as many steps; the next one spent looks at them. */
static bool takes(struct cox_matcher *m, const char *s, const char *p, const char *end) {
  if (s >= m->subject_end) return false;
  const int byte = (unsigned char)*s;
  switch (*p) {
    case '.': return true;
    case '%': return is_in_class(byte, (unsigned char)p[1]);
    case '[': m->steps += (uint64_t)(end - p) / SET_BYTES_PER_STEP; return is_in_set(byte, p, end);
    default: return (unsigned char)*p == byte;
  }
}

/* ---- items that are more than a character ---- */

/* Behind the text that is balanced in `open` and `close`; NULL: none begins here. */
static const char *balanced(struct cox_matcher *m, const char *s, char open, char close) {
  if (s >= m->subject_end || *s != open) return NULL;
  size_t depth = 1;
  for (const char *p = s + 1; p < m->subject_end; p++) {
    if (!spend(m, 1)) return NULL;
    if (*p == close) {
      if (--depth == 0) return p + 1;
    } else if (*p == open) {
      depth++;
    }
  }
  return NULL;
}

static bool is_frontier(struct cox_matcher *m, const char *s, const char *set, const char *end) {
  m->steps += (uint64_t)(end - set) / SET_BYTES_PER_STEP;
  const int before = s == m->subject ? 0 : (unsigned char)s[-1];
  const int here = s < m->subject_end ? (unsigned char)*s : 0;
  return !is_in_set(before, set, end) && is_in_set(here, set, end);
}

/* Behind the repetition of the capture that `digit` names. */
static const char *repeated(struct cox_matcher *m, const char *s, char digit) {
  const int index = digit - '1';
  if (index < 0 || index >= m->level || m->captures[index].len == COX_CAPTURE_OPEN) {
    m->error_index = index + 1;
    return fail(m, "invalid capture index");
  }
  /* A position has no text: it repeats nothing, as a length that is never there. */
  const ptrdiff_t len = m->captures[index].len;
  if (len < 0 || m->subject_end - s < len || !spend(m, (uint64_t)len / BYTES_PER_STEP)) return NULL;
  return memcmp(m->captures[index].start, s, (size_t)len) == 0 ? s + len : NULL;
}

static bool open_capture(struct cox_matcher *m, size_t *depth, const char *s, ptrdiff_t len) {
  if (m->level >= COX_PATTERN_CAPTURES_MAX) {
    fail(m, "too many captures");
    return false;
  }
  m->captures[m->level++] = (struct cox_capture){.start = s, .len = len};
  return push(m, depth, (struct cox_choice){.kind = UNDO_OPEN});
}

static bool close_capture(struct cox_matcher *m, size_t *depth, const char *s) {
  int index = m->level - 1;
  while (index >= 0 && m->captures[index].len != COX_CAPTURE_OPEN) index--;
  if (index < 0) {
    fail(m, "invalid pattern capture");
    return false;
  }
  m->captures[index].len = s - m->captures[index].start;
  return push(m, depth, (struct cox_choice){.kind = UNDO_CLOSE, .index = (unsigned char)index});
}

/* ---- the walk through the pattern ---- */

/* Where the match stands. */
struct place {
  const char *s, *p;
  size_t depth; /* of choices */
};

/* The item `p` … `end` as often as it takes, at least `least` times. */
static bool repeat(struct cox_matcher *m, struct place *at, const char *end, int least) {
  const char *s = at->s;
  while (takes(m, s, at->p, end)) {
    if (!spend(m, 1)) return false;
    s++;
  }
  if (s - at->s < least) return false;
  const struct cox_choice choice = {.kind = CHOICE_FEWER, .subject = at->s + least, .item = s, .pattern = end + 1};
  *at = (struct place){.s = s, .p = end + 1, .depth = at->depth};
  return choice.subject == s || push(m, &at->depth, choice);
}

/* One character item with its suffix. False: it does not match (or m->error). */
static bool step_item(struct cox_matcher *m, struct place *at) {
  const char *const end = end_of_item(m, at->p);
  if (end == NULL) return false;
  switch (end < m->pattern_end ? *end : '\0') {
    case '*': return repeat(m, at, end, 0);
    case '+': return repeat(m, at, end, 1);
    case '-': {
      const struct cox_choice choice = {.kind = CHOICE_MORE, .subject = at->s, .item = at->p, .pattern = end + 1};
      at->p = end + 1;
      return push(m, &at->depth, choice);
    }
    case '?': {
      const struct cox_choice choice = {.kind = CHOICE_SKIP, .subject = at->s, .pattern = end + 1};
      const bool is_taken = takes(m, at->s, at->p, end);
      at->s += is_taken;
      at->p = end + 1;
      return !is_taken || push(m, &at->depth, choice);
    }
    default:
      if (!takes(m, at->s, at->p, end)) return false;
      at->s++;
      at->p = end;
      return true;
  }
}

static bool step_frontier(struct cox_matcher *m, struct place *at) {
  const char *const set = at->p + 2;
  if (set >= m->pattern_end || *set != '[') {
    fail(m, "missing '[' after '%f' in pattern");
    return false;
  }
  at->p = end_of_item(m, set);
  return at->p != NULL && is_frontier(m, at->s, set, at->p);
}

static bool step_balanced(struct cox_matcher *m, struct place *at) {
  if (m->pattern_end - at->p < 4) {
    fail(m, "malformed pattern (missing arguments to '%b')");
    return false;
  }
  at->s = balanced(m, at->s, at->p[2], at->p[3]);
  at->p += 4;
  return at->s != NULL;
}

/* What stands at at->p. */
static bool step(struct cox_matcher *m, struct place *at) {
  const char next = at->p + 1 < m->pattern_end ? at->p[1] : '\0';
  switch (*at->p) {
    case '(':
      at->p += next == ')' ? 2 : 1;
      return open_capture(m, &at->depth, at->s, next == ')' ? COX_CAPTURE_POSITION : COX_CAPTURE_OPEN);
    case ')':
      at->p++;
      return close_capture(m, &at->depth, at->s);
    case '$':
      if (at->p + 1 != m->pattern_end) break; /* a plain character */
      at->p++;
      return at->s == m->subject_end;
    case '%':
      if (next == 'b') return step_balanced(m, at);
      if (next == 'f') return step_frontier(m, at);
      if (next < '0' || next > '9') break;
      at->s = repeated(m, at->s, next);
      at->p += 2;
      return at->s != NULL;
    default: break;
  }
  return step_item(m, at);
}

/* One choice back: true when there is another way from `at`. */
static bool retry(struct cox_matcher *m, struct place *at, struct cox_choice *choice) {
  at->p = choice->pattern;
  switch (choice->kind) {
    case CHOICE_FEWER:
      at->s = --choice->item;
      if (choice->item == choice->subject) at->depth--; /* the last way of this one */
      return true;
    case CHOICE_MORE:
      if (!takes(m, choice->subject, choice->item, choice->pattern - 1)) break;
      at->s = ++choice->subject;
      return true;
    case CHOICE_SKIP:
      at->s = choice->subject;
      at->depth--;
      return true;
    case UNDO_OPEN: m->level--; break;
    case UNDO_CLOSE: m->captures[choice->index].len = COX_CAPTURE_OPEN; break;
    default: break;
  }
  at->depth--;
  return false;
}

const char *cox_pattern_match(struct cox_matcher *m, const char *start) {
  struct place at = {.s = start, .p = m->pattern};
  m->level = 0;
  while (spend(m, 1)) {
    if (at.p == m->pattern_end) return at.s;
    if (step(m, &at)) continue;
    if (m->error != NULL) return NULL;
    do {
      if (at.depth == 0) return NULL;
    } while (!retry(m, &at, &m->choices[at.depth - 1]));
  }
  return NULL;
}

size_t cox_pattern_choices(const char *pattern, size_t len) {
  size_t count = 0;
  for (size_t i = 0; i < len && count < COX_PATTERN_CHOICES_MAX; i++) count += strchr("*+-?()", pattern[i]) != NULL && pattern[i] != '\0';
  return count;
}
