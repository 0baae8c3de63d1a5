/* `coxswain new`: a commented skeleton of a script with its cases, from lua/skeletons. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "paths.h"
#include "subcommands.h"

enum { NAME_BYTES_MAX = 64 };

/* What each kind is made of: the skeleton, and the folder and ending of the file made from it. */
struct part {
  const char *kind, *skeleton, *folder, *ending;
};

static const struct part parts[] = {
    {"command", "command.lua", "commands", ".lua"}, {"command", "command_spec.lua", "spec/commands", "_spec.lua"},
    {"driver", "driver.lua", "drivers", ".lua"},    {"driver", "driver_spec.lua", "spec/drivers", "_spec.lua"},
    {"job", "job.lua", "jobs", ".lua"},             {"job", "job_spec.lua", "spec/jobs", "_spec.lua"},
    {"policy", "policy.lua", "policy", ".lua"},
};

enum { PARTS = sizeof parts / sizeof *parts };

struct made {
  const char *program, *kind, *name, *dir;
  const struct cox_paths *paths;
};

static bool is_kind(const char *word) {
  for (size_t i = 0; i < PARTS; i++) {
    if (strcmp(parts[i].kind, word) == 0) return true;
  }
  return false;
}

static bool is_name(const char *name) {
  const size_t len = strlen(name);
  return len > 0 && len <= NAME_BYTES_MAX && name[0] >= 'a' && name[0] <= 'z' && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

static bool path_of(const struct made *made, const struct part *part, char out[PATH_MAX]) {
  return (size_t)snprintf(out, PATH_MAX, "%s/%s/%s%s", made->dir, part->folder, made->name, part->ending) < PATH_MAX;
}

/* The folder and those above it, below `dir`, which is there. */
static int make_folders(const struct made *made, const char *folder) {
  char path[PATH_MAX];
  for (const char *end = folder; end != NULL;) {
    end = strchr(end, '/');
    const int len = end != NULL ? (int)(end - folder) : (int)strlen(folder);
    snprintf(path, sizeof path, "%s/%.*s", made->dir, len, folder);
    if (mkdir(path, 0777) != 0 && errno != EEXIST) return cox_cli_fail(made->program, "making the folder %s failed: %s", path, strerror(errno));
    if (end != NULL) end++;
  }
  return COX_EXIT_DONE;
}

/* The skeleton with the name in place of NAME. */
static int fill_in(const struct made *made, const char *skeleton, struct cox_buf *out) {
  char path[PATH_MAX + 64], line[1024];
  snprintf(path, sizeof path, "%s/skeletons/%s", made->paths->library, skeleton);
  FILE *const file = fopen(path, "r");
  if (file == NULL) return cox_cli_fail(made->program, "reading the skeleton %s failed: %s; install coxswain whole", path, strerror(errno));
  while (fgets(line, sizeof line, file) != NULL) {
    char *from = line;
    for (char *place; (place = strstr(from, "NAME")) != NULL; from = place + 4) cox_buf_addf(out, "%.*s%s", (int)(place - from), from, made->name);
    cox_buf_addf(out, "%s", from);
  }
  fclose(file);
  return COX_EXIT_DONE;
}

/* Never over a file that is there. */
static int write_new(const struct made *made, const char *path, const struct cox_buf *text) {
  FILE *const file = fopen(path, "wx");
  const bool is_written = file != NULL && fwrite(text->data, 1, text->len, file) == text->len;
  const int error = errno;
  if (file != NULL && fclose(file) == 0 && is_written) {
    printf("%s\n", path);
    return COX_EXIT_DONE;
  }
  return cox_cli_fail(made->program, "writing %s failed: %s", path, strerror(error));
}

static int make(const struct made *made, const struct part *part) {
  char path[PATH_MAX];
  struct cox_buf text = {0};
  path_of(made, part, path); /* checked before */
  int exit_code = make_folders(made, part->folder);
  if (exit_code == COX_EXIT_DONE) exit_code = fill_in(made, part->skeleton, &text);
  if (exit_code == COX_EXIT_DONE) exit_code = write_new(made, path, &text);
  cox_buf_fini(&text);
  return exit_code;
}

/* Tells editors where the types of our API are; one that is there stays. */
static int make_luarc(const struct made *made) {
  char path[PATH_MAX + 16];
  struct cox_buf text = {0};
  snprintf(path, sizeof path, "%s/.luarc.json", made->dir);
  if (access(path, F_OK) == 0) return COX_EXIT_DONE;
  cox_buf_addf(&text,
               "{\n  \"runtime.version\": \"Lua 5.4\",\n  \"runtime.path\": [\"?.lua\"],\n"
               "  \"runtime.builtin\": {\"io\": \"disable\", \"os\": \"disable\", \"debug\": \"disable\", \"package\": \"disable\"},\n"
               "  \"workspace.library\": [\"%s\"],\n  \"workspace.checkThirdParty\": false\n}\n",
               made->paths->library);
  const int exit_code = write_new(made, path, &text);
  cox_buf_fini(&text);
  return exit_code;
}

/* Nothing is written when anything is in the way. */
static int make_all(const struct made *made) {
  char path[PATH_MAX];
  struct stat info;
  if (stat(made->dir, &info) != 0 || !S_ISDIR(info.st_mode)) {
    return cox_cli_fail(made->program, "there is no folder of scripts at %s: make it, or give another one with --dir", made->dir);
  }
  for (size_t i = 0; i < PARTS; i++) {
    if (strcmp(parts[i].kind, made->kind) != 0) continue;
    if (!path_of(made, &parts[i], path)) return cox_cli_fail(made->program, "the path of %s is too long", made->dir);
    if (access(path, F_OK) == 0) return cox_cli_fail(made->program, "%s is there already: choose another name, or edit it", path);
  }
  int exit_code = COX_EXIT_DONE;
  for (size_t i = 0; i < PARTS && exit_code == COX_EXIT_DONE; i++) {
    if (strcmp(parts[i].kind, made->kind) == 0) exit_code = make(made, &parts[i]);
  }
  if (exit_code == COX_EXIT_DONE) exit_code = make_luarc(made);
  if (exit_code == COX_EXIT_DONE) fprintf(stderr, "now edit it; `coxswain check` and `coxswain test %s` try it\n", made->dir);
  return exit_code;
}

static int run(void *ctx, int argc, char **argv) {
  (void)ctx;
  struct cox_cli_args args;
  struct cox_paths paths;
  struct cox_err err;
  int exit_code;
  if (!cox_cli_args_parse(&args, &cox_new_entry, 2, 2, argc, argv, &exit_code)) return exit_code;
  const char *const own = cox_cli_args_value(&args, "dir");
  const struct made made = {.program = args.program, .kind = args.rest[0], .name = args.rest[1], .dir = own != NULL ? own : "scripts", .paths = &paths};
  if (!is_kind(made.kind)) {
    exit_code = cox_cli_misuse(args.program, "there is nothing new of kind %s: command, driver, job or policy", made.kind);
  } else if (!is_name(made.name)) {
    exit_code = cox_cli_misuse(args.program, "%s is no name: small letters, digits and _, beginning with a letter, at most %d of them", made.name,
                               NAME_BYTES_MAX);
  } else if (cox_paths_find(&paths, &err) != 0) {
    exit_code = cox_cli_fail(args.program, "%s", err.text);
  } else {
    exit_code = make_all(&made);
  }
  cox_cli_args_fini(&args);
  return exit_code;
}

static const struct cox_cli_option options[] = {
    {"dir", 0, "DIR", "the folder of scripts (default: scripts)"},
    {0},
};

const struct cox_cli_entry cox_new_entry = {
    .name = "new",
    .synopsis = "command|driver|job|policy NAME [--dir DIR]",
    .summary = "Writes a commented skeleton of a script, with cases that hold",
    .run = run,
    .detail = "Prints the files that were written; never writes over one. For editors with the Lua language server it also writes a .luarc.json "
              "when there is none.",
    .options = options,
};
