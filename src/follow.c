#include "follow.h"

#include "paths.h"
#include "script/script.h"
#include "subcommands.h"

static bool is_as_seen(const struct cox_follow *follow, const struct stat *now) {
  const struct stat *const seen = &follow->seen;
  return follow->has_seen && seen->st_dev == now->st_dev && seen->st_ino == now->st_ino && seen->st_size == now->st_size &&
         seen->st_mtim.tv_sec == now->st_mtim.tv_sec && seen->st_mtim.tv_nsec == now->st_mtim.tv_nsec &&
         seen->st_ctim.tv_sec == now->st_ctim.tv_sec && seen->st_ctim.tv_nsec == now->st_ctim.tv_nsec;
}

json_t *cox_follow_folders(void *ctx, struct cox_faults *faults) {
  struct cox_follow *const follow = ctx;
  struct cox_paths paths;
  struct stat now;
  struct cox_err err;
  int exit_code;
  const bool is_there = stat(follow->path, &now) == 0; /* before it is read: a change in between is seen next time */
  if (is_there && is_as_seen(follow, &now)) return NULL;
  json_t *const config = cox_load_config_quietly(follow->path, follow->overrides, &exit_code, faults);
  if (config == NULL) return NULL;
  json_t *folders = NULL;
  if (cox_paths_find(&paths, &err) == 0) folders = cox_config_folders(config, paths.scripts);
  else cox_faults_add(faults, NULL, 0, "%s", err.text);
  json_decref(config);
  follow->seen = now;
  follow->has_seen = is_there && folders != NULL;
  return folders;
}
