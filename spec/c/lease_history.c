#include "lease_history.h"

#include <stdlib.h>
#include <string.h>

#define NEVER INT64_MAX

/* What is to be put in order: the calls, and the ends of leases whose time is over. */
struct step {
  struct lease_op op;
  size_t parent;     /* of an end: the call that gave the time */
  bool is_end;
  bool is_optional;  /* may be left out */
  bool is_done;
};

struct lease {
  int node;          /* LEASE_NONE: not live */
  bool was_there;
  size_t giver;      /* the call that gave its time last */
};

struct hash {
  uint64_t word[2];
};

struct search {
  const struct lease_rules *rules;
  struct step *steps; /* by begin */
  size_t count, left; /* left: that must still be put in order */
  struct lease *leases;
  size_t lease_count;
  int load[LEASE_NODES_MAX];
  struct hash hash;
  struct hash *seen; /* open addressing; zero is empty */
  size_t seen_count, seen_size;
};

/* One step back. */
struct undo {
  size_t step;
  struct lease before;
};

static void *need(void *memory) {
  if (memory == NULL) abort();
  return memory;
}

/* ---- the steps ---- */

static int by_begin(const void *left, const void *right) {
  const int64_t a = ((const struct step *)left)->op.from_us, b = ((const struct step *)right)->op.from_us;
  return a < b ? -1 : a > b;
}

static int64_t add(int64_t at_us, int64_t more_us) { return at_us == NEVER ? NEVER : at_us + more_us; }

/* Whoever died while it acquired may be known to be gone: then its lease ends at any time. */
static struct step end_of(const struct step *giver, int64_t late_us) {
  const struct lease_op *const op = &giver->op;
  struct step end = {.op = *op, .is_end = true, .is_optional = giver->is_optional};
  end.op.from_us = op->answer == LEASE_OPEN && op->call == LEASE_ACQUIRE ? op->from_us : op->from_us + op->ttl_us;
  end.op.to_us = add(op->to_us, op->ttl_us + late_us);
  return end;
}

static bool gives_time(const struct lease_op *op) {
  return op->call != LEASE_RELEASE && (op->answer == LEASE_OK || op->answer == LEASE_OPEN);
}

static void make_steps(struct search *search, const struct lease_op *ops, size_t count) {
  search->steps = need(calloc(count * 2 + 1, sizeof *search->steps));
  for (size_t i = 0; i < count; i++) {
    if (ops[i].call == LEASE_UNUSED) continue;
    struct step *const step = &search->steps[search->count++];
    *step = (struct step){.op = ops[i], .is_optional = ops[i].answer == LEASE_OPEN};
    if (step->is_optional) step->op.to_us = NEVER;
    if (ops[i].lease >= search->lease_count) search->lease_count = ops[i].lease + 1;
  }
  qsort(search->steps, search->count, sizeof *search->steps, by_begin);
}

/* Behind the calls, so that a parent is named by its place among them; then in order among them. */
static void make_ends(struct search *search) {
  const size_t calls = search->count;
  struct step *const all = need(calloc(calls * 2 + 1, sizeof *all));
  size_t *const place = need(calloc(calls + 1, sizeof *place));
  size_t ends = 0;
  for (size_t i = 0; i < calls; i++) search->steps[i].parent = i;
  for (size_t i = 0; i < calls; i++) {
    if (!gives_time(&search->steps[i].op)) continue;
    search->steps[calls + ends] = end_of(&search->steps[i], search->rules->late_us);
    search->steps[calls + ends++].parent = i;
  }
  memcpy(all, search->steps, (calls + ends) * sizeof *all);
  qsort(all, calls + ends, sizeof *all, by_begin);
  for (size_t i = 0; i < calls + ends; i++) {
    if (!all[i].is_end) place[all[i].parent] = i;
  }
  for (size_t i = 0; i < calls + ends; i++) all[i].parent = place[all[i].parent];
  free(search->steps);
  free(place);
  search->steps = all;
  search->count = calls + ends;
}

/* ---- the object ---- */

static uint64_t mix(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
  return x ^ x >> 31;
}

static void toggle(struct search *search, uint64_t what) {
  search->hash.word[0] ^= mix(what * 2 + 1);
  search->hash.word[1] ^= mix(mix(what * 2 + 2));
}

static void set_lease(struct search *search, unsigned number, struct lease state) {
  struct lease *const lease = &search->leases[number];
  const uint64_t base = (uint64_t)(number + 1) << 40;
  toggle(search, base ^ (uint64_t)(lease->node + 1) << 32 ^ lease->giver);
  if (lease->node != LEASE_NONE) search->load[lease->node]--;
  *lease = state;
  if (lease->node != LEASE_NONE) search->load[lease->node]++;
  toggle(search, base ^ (uint64_t)(lease->node + 1) << 32 ^ lease->giver);
}

static bool has_room(const struct search *search, int node) { return node >= 0 && node < search->rules->nodes && search->load[node] < search->rules->capacity[node]; }

static bool is_full(const struct search *search) {
  for (int i = 0; i < search->rules->nodes; i++) {
    if (has_room(search, i)) return false;
  }
  return true;
}

/* Right now and without an effect: then it may stand here, whatever follows. */
static bool is_idle(const struct search *search, const struct step *step) {
  const struct lease *const lease = &search->leases[step->op.lease];
  if (step->is_end) return search->steps[step->parent].is_done && (lease->node == LEASE_NONE || lease->giver != step->parent);
  if (step->op.answer == LEASE_BUSY) return is_full(search);
  return step->op.answer == LEASE_GONE && lease->was_there && lease->node == LEASE_NONE;
}

/* Its effect with that choice of a node; false: it cannot be now. */
static bool effect_of(const struct search *search, size_t index, int node, struct lease *after) {
  const struct step *const step = &search->steps[index];
  *after = search->leases[step->op.lease];
  const bool is_live = after->node != LEASE_NONE;
  if (step->is_end) {
    if (!is_live || after->giver != step->parent) return false;
    after->node = LEASE_NONE;
    return true;
  }
  if (step->op.answer == LEASE_BUSY || step->op.answer == LEASE_GONE) return false;
  switch (step->op.call) {
    case LEASE_ACQUIRE:
      if (after->was_there || !has_room(search, node)) return false;
      *after = (struct lease){.node = node, .was_there = true, .giver = index};
      return true;
    case LEASE_RENEW: after->giver = index; return is_live;
    case LEASE_RELEASE: after->node = LEASE_NONE; return is_live;
    case LEASE_UNUSED: break;
  }
  return false;
}

static struct undo take(struct search *search, size_t index, struct lease after) {
  struct step *const step = &search->steps[index];
  const struct undo undo = {index, search->leases[step->op.lease]};
  step->is_done = true;
  search->left -= !step->is_optional;
  toggle(search, index);
  set_lease(search, step->op.lease, after);
  return undo;
}

static void take_back(struct search *search, const struct undo *undo) {
  struct step *const step = &search->steps[undo->step];
  set_lease(search, step->op.lease, undo->before);
  toggle(search, undo->step);
  search->left += !step->is_optional;
  step->is_done = false;
}

/* ---- the search ---- */

static bool place_seen(struct hash *table, size_t size, struct hash hash) {
  size_t i = hash.word[0] & (size - 1);
  for (; table[i].word[0] != 0 || table[i].word[1] != 0; i = (i + 1) & (size - 1)) {
    if (memcmp(&table[i], &hash, sizeof hash) == 0) return false;
  }
  table[i] = hash;
  return true;
}

static void grow_seen(struct search *search) {
  const size_t size = search->seen_size == 0 ? 1024 : search->seen_size * 2;
  struct hash *const table = need(calloc(size, sizeof *table));
  for (size_t i = 0; i < search->seen_size; i++) {
    if (search->seen[i].word[0] != 0 || search->seen[i].word[1] != 0) place_seen(table, size, search->seen[i]);
  }
  free(search->seen);
  search->seen = table;
  search->seen_size = size;
}

/* False: it was here before, in vain. */
static bool is_new(struct search *search) {
  if (search->seen_count * 2 >= search->seen_size) grow_seen(search);
  if (!place_seen(search->seen, search->seen_size, search->hash)) return false;
  search->seen_count++;
  return true;
}

/* Whatever begins later than this comes after a step that has ended by then. */
static int64_t horizon(const struct search *search, size_t *head) {
  int64_t end_us = NEVER;
  while (*head < search->count && search->steps[*head].is_done) ++*head;
  for (size_t i = *head; i < search->count && search->steps[i].op.from_us <= end_us; i++) {
    const struct step *const step = &search->steps[i];
    if (!step->is_done && !step->is_optional && step->op.to_us < end_us) end_us = step->op.to_us;
  }
  return end_us;
}

/* Takes all idle steps; returns how many it put into `undos`. */
static size_t take_idle(struct search *search, size_t *head, struct undo **undos) {
  size_t count = 0;
  for (bool goes_on = true; goes_on;) {
    goes_on = false;
    const int64_t end_us = horizon(search, head);
    for (size_t i = *head; i < search->count && search->steps[i].op.from_us <= end_us; i++) {
      const struct step *const step = &search->steps[i];
      if (step->is_done || !is_idle(search, step)) continue;
      *undos = need(realloc(*undos, (count + 1) * sizeof **undos));
      (*undos)[count++] = take(search, i, search->leases[step->op.lease]);
      goes_on = true;
    }
  }
  return count;
}

static bool go_on(struct search *search, size_t head);

static bool try(struct search *search, size_t head, size_t index) {
  const struct lease_op *const op = &search->steps[index].op;
  const bool is_blind = op->call == LEASE_ACQUIRE && op->answer == LEASE_OPEN && !search->steps[index].is_end; /* nobody saw which node */
  const int first = is_blind ? 0 : op->node, last = is_blind ? search->rules->nodes - 1 : op->node;
  for (int node = first; node <= last; node++) {
    struct lease after;
    if (!effect_of(search, index, node, &after)) continue;
    const struct undo undo = take(search, index, after);
    if (go_on(search, head)) return true;
    take_back(search, &undo);
  }
  return false;
}

static bool go_on(struct search *search, size_t head) {
  struct undo *undos = NULL;
  size_t idle = take_idle(search, &head, &undos);
  bool is_found = search->left == 0;
  if (!is_found && is_new(search)) {
    const int64_t end_us = horizon(search, &head);
    for (size_t i = head; !is_found && i < search->count && search->steps[i].op.from_us <= end_us; i++) {
      if (!search->steps[i].is_done) is_found = try(search, head, i);
    }
  }
  while (!is_found && idle > 0) take_back(search, &undos[--idle]);
  free(undos);
  return is_found;
}

bool lease_history_is_possible(const struct lease_rules *rules, const struct lease_op *ops, size_t count) {
  struct search search = {.rules = rules};
  make_steps(&search, ops, count);
  make_ends(&search);
  search.leases = need(calloc(search.lease_count + 1, sizeof *search.leases));
  for (size_t i = 0; i < search.lease_count; i++) search.leases[i].node = LEASE_NONE;
  for (size_t i = 0; i < search.count; i++) search.left += !search.steps[i].is_optional;
  const bool is_possible = go_on(&search, 0);
  free(search.steps);
  free(search.leases);
  free(search.seen);
  return is_possible;
}
