#include "plants.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "life.h"

enum { HANG_S = 120 };

static const struct {
  const char *point; /* NULL: not to be planted yet */
  const char *words; /* the bug, or what it waits for */
} plants[] = {
    {"result.accepts_stale", "a result of an older target is accepted"},
    {"result.compares_targets", "ABA: targets are compared by value, not by generation"},
    {"apply.misses_mark", "a changed node is not marked dirty"},
    {"snapshot.forgets_unlock", "a lock is kept on the way back from an error"},
    {"result.keeps_failures", "a success does not reset the backoff"},
    {"observe.overwrites_result", "an observation overrules a result that came after it began"},
    {"reconcile.forgets_deadline", "an attempt has no deadline"},
    {"result.wakes_nobody", "a wake-up is lost"},
    {"txn.counts_dispatched", "node_count counts only nodes that take part now"},
    {"result.trusts_cancelled", "a cancelled attempt leaves its node settled"},
    {"reconcile.forgets_cancel", "an outdated attempt is not cancelled"},
    {"reconcile.ignores_backoff", "the backoff is not waited for"},
    {"registry.forgets_departing", "the last call of a removed node is not waited for"},
    {"registry.reuses_number", "a freed number is given out in the same episode"},
    {"serve.forgets_skipped", "a skipped command is not answered"},
    {"apply.keeps_generation", "a new target keeps the generation number of the old one"},
    {"lease_table.keeps_released", "a lease is released twice"},
    {"lease_wait.wakes_nobody", "a waiter's wake-up is lost when a node becomes free"},
    {"generation.freed_early", "a reload frees the scripts that an attempt in flight runs on"},
    {"reload.forgets_choice", "a start takes scripts that were rejected, or left by a rollback"},
    {"reload.forgets_owed", "a choice of scripts that a full disk refused is not written again"},
    {"job.forgets_state", "what a job saves is lost when it begins anew with other scripts"},
    {"ledger.answers_early", "a commit is acknowledged before it is on the disk"},
    {"drain.ignores_leases", "leases that may end first are not waited for"},
    {"drain.misses_poc", "a drain goes on when the PoC is about to begin"},
    {"lease.forgets_drained", "the end of the last lease of a draining node wakes nobody"},
    {"expiry.misses_change", "the end of a disable that an operator has just set is not planned"},
    {"expiry.forgets_start", "disables with an end that a start finds last for ever"},
    {"ledger.forgets_expiry", "an admin state that comes back, because another could not be stored, has lost its end"},
    {"keep.numbers_anew", "a start begins to number the lines of the journal anew"},
    {"keep.forgets_last", "after a start who follows the journal is not told what he has missed"},
    {"ledger.forgets_undo", "a change that could not be stored stays in force"},
};

enum { PLANTS = sizeof plants / sizeof *plants };

bool plants_arm(const char *point) {
  for (size_t i = 0; i < PLANTS; i++) {
    if (plants[i].point != NULL && strcmp(plants[i].point, point) == 0) return cox_fault_arm(plants[i].point, 0, 0) == 0;
  }
  return false;
}

/* What the child tells, also when it dies. */
struct find {
  uint64_t seed;
  bool is_found, is_done;
  char invariant[48];
};

static void search(const char *point, uint64_t most, struct find *find) {
  if (freopen("/dev/null", "w", stderr) == NULL) _exit(4);
  plants_arm(point);
  for (uint64_t seed = 1; seed <= most && !find->is_found; seed++) {
    struct cox_world_outcome outcome;
    const struct cox_world_options options = {.seed = seed};
    find->seed = seed;
    alarm(HANG_S);
    life_run(&options, &outcome);
    find->is_found = outcome.has_failed;
    snprintf(find->invariant, sizeof find->invariant, "%s", outcome.invariant);
  }
  find->is_done = true;
  _exit(0); /* a planted bug may leave anything behind: leaks too */
}

static bool look_for(const char *point, uint64_t most, struct find *find) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) search(point, most, find);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return false;
  if (find->is_done) return find->is_found;
  snprintf(find->invariant, sizeof find->invariant, "%s", WIFSIGNALED(status) ? "it hangs" : "an assertion fails");
  return find->seed > 0;
}

int plants_table(uint64_t most) {
  struct find *const find = mmap(NULL, sizeof *find, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (find == MAP_FAILED) return PLANTS;
  int missing = 0;
  printf("| planted bug | point | seeds to find it | seen as |\n|---|---|---|---|\n");
  for (size_t i = 0; i < PLANTS; i++) {
    if (plants[i].point == NULL) {
      printf("| %s | | | |\n", plants[i].words);
      continue;
    }
    memset(find, 0, sizeof *find);
    if (look_for(plants[i].point, most, find)) {
      printf("| %s | `%s` | %" PRIu64 " | %s |\n", plants[i].words, plants[i].point, find->seed, find->invariant);
    } else {
      missing++;
      printf("| %s | `%s` | not within %" PRIu64 " | |\n", plants[i].words, plants[i].point, most);
    }
  }
  munmap(find, sizeof *find);
  return missing;
}
