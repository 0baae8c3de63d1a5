/* Any bytes as a script, in every context. Input: a byte that chooses the context, then the script. It is loaded, and what it returns
 * is called when it is a function; with budget and memory of a handler, only smaller.                                              */
#include "input.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fake_core.h"
#include "script/sandbox.h"
#include "script/vm.h"

enum { MEMORY_MAX = 4 << 20, OVERRUN_S = 5 /* processor time, under sanitizers */ };

#define BUDGET_S 0.02

static struct cox_sources *sources;

static int run(lua_State *L) {
  cox_sandbox_run(L, lua_touserdata(L, 1));
  if (lua_type(L, -1) == LUA_TFUNCTION) lua_call(L, 0, 0);
  return 0;
}

static double processor_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct cox_vm *make_vm(enum cox_context context) {
  struct cox_err err = {0};
  const struct cox_vm_options options = {.context = context, .memory_max = MEMORY_MAX, .sources = sources, .clock = cox_clock_system(), .seed = 1};
  struct cox_vm *const vm = cox_vm_create(&options, &err);
  if (vm == NULL) print_error("%s\n", err.text);
  input_must(vm != NULL, "a script machine can be made");
  return vm;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct cox_faults faults = {0};
  struct cox_err err = {0};
  if (sources == NULL) {
    input_quiet();
    sources = cox_sources_read("scripts", "lua", &faults);
    input_must(sources != NULL, "the shipped scripts can be read");
  }
  struct input input = {(const char *)data, size};
  struct cox_vm *const vm = make_vm((enum cox_context)(input_byte(&input) % 4));
  size_t len = 0;
  char *const text = input_piece(&input, "\n-- end\n", &len);
  if (text != NULL) {
    struct cox_source source = {.name = "commands/input.lua", .path = "scripts/commands/input.lua", .text = text, .len = len};
    const double began_s = processor_s();
    const int rc = cox_vm_call(vm, run, &source, BUDGET_S, &err);
    input_must(processor_s() - began_s < OVERRUN_S, "a script ends within its budget");
    input_must(rc == 0 || err.text[0] != '\0', "an error says what is wrong");
    input_must(vm->used <= MEMORY_MAX, "a script has no more memory than it may");
    free(text);
  }
  cox_vm_destroy(vm);
  return 0;
}
