#include "console/target.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOKEN_MAX = 4096 };

static const char default_url[] = "http://127.0.0.1:9200";
static const char *const default_places[] = {"coxswain.lua", "/etc/coxswain/coxswain.lua", NULL};

/* What one source (options, environment) says; "" counts as nothing said. */
struct said {
  const char *socket, *admin, *config;
};

static const char *nonempty(const char *text) { return text != NULL && *text != '\0' ? text : NULL; }

static int out_of_memory(const char *program) { return cox_cli_fail(program, "out of memory"); }

/* ---- tokens ---- */

static int take_token(struct cox_cli_target *target, const char *program, const char *text, size_t len, const char *from) {
  while (len > 0 && isspace((unsigned char)text[len - 1])) len--;
  while (len > 0 && isspace((unsigned char)*text)) text++, len--;
  if (len == 0) return cox_cli_fail(program, "the token of %s is empty", from);
  for (size_t i = 0; i < len; i++) {
    if (!isgraph((unsigned char)text[i])) return cox_cli_fail(program, "the token of %s has spaces or control characters in it", from);
  }
  free(target->token);
  target->token = strndup(text, len);
  return target->token != NULL ? COX_EXIT_DONE : out_of_memory(program);
}

static int read_token_file(struct cox_cli_target *target, const char *program, const char *path) {
  char text[TOKEN_MAX + 1];
  FILE *const file = fopen(path, "re");
  if (file == NULL) return cox_cli_fail(program, "reading the token file %s failed: %s", path, strerror(errno));
  const size_t len = fread(text, 1, sizeof text, file);
  const bool is_bad = ferror(file) != 0;
  fclose(file);
  if (is_bad) return cox_cli_fail(program, "reading the token file %s failed: is it a file?", path);
  if (len > TOKEN_MAX) return cox_cli_fail(program, "the token file %s is longer than %d bytes: is it the right file?", path, TOKEN_MAX);
  return take_token(target, program, text, len, path);
}

/* ---- addresses ---- */

/* "host:port" is taken as http. Trailing slashes would double those of the routes. */
static int take_url(struct cox_cli_target *target, const char *program, const char *url) {
  struct cox_buf text = {0};
  const bool has_scheme = strstr(url, "://") != NULL;
  if (has_scheme && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
    return cox_cli_misuse(program, "%s is not an address of the admin API: it must begin with http:// or https://", url);
  }
  for (const char *at = url; *at != '\0'; at++) {
    if (!isgraph((unsigned char)*at)) return cox_cli_misuse(program, "the address %s has spaces or control characters in it", url);
  }
  if (*url == '\0') return cox_cli_misuse(program, "the address of the admin API is empty");
  size_t len = strlen(url);
  while (len > 0 && url[len - 1] == '/') len--;
  if (!cox_buf_addf(&text, "%s%.*s", has_scheme ? "" : "http://", (int)len, url)) return out_of_memory(program);
  free(target->base_url);
  target->base_url = text.data;
  return COX_EXIT_DONE;
}

/* Where a listener of that address answers: 0.0.0.0 and [::] listen everywhere, and are called on this machine. */
static int take_listen(struct cox_cli_target *target, const char *program, const char *listen, bool has_tls) {
  char url[512];
  const char *const port = strrchr(listen, ':'), *const scheme = has_tls ? "https" : "http";
  const size_t host = port != NULL ? (size_t)(port - listen) : strlen(listen);
  const bool is_any = host == 0 || (host == 7 && strncmp(listen, "0.0.0.0", 7) == 0) || (host == 1 && *listen == '*');
  if (is_any) snprintf(url, sizeof url, "%s://127.0.0.1%s", scheme, port != NULL ? port : "");
  else if (host == 4 && strncmp(listen, "[::]", 4) == 0) snprintf(url, sizeof url, "%s://[::1]%s", scheme, port);
  else snprintf(url, sizeof url, "%s://%s", scheme, listen);
  return take_url(target, program, url);
}

/* ---- configurations ---- */

static int say_faults(const char *program, const char *path, const struct cox_faults *faults, bool is_named) {
  for (size_t i = 0; i < faults->count; i++) {
    const struct cox_err *const fault = &faults->list[i];
    if (fault->file[0] == '\0') cox_cli_fail(program, "%s", fault->text);
    else if (fault->line > 0) cox_cli_fail(program, "%s:%d: %s", fault->file, fault->line, fault->text);
    else cox_cli_fail(program, "%s: %s", fault->file, fault->text);
  }
  if (is_named) return cox_cli_fail(program, "the configuration %s cannot be used to find the daemon", path);
  return cox_cli_fail(program, "the configuration %s cannot be used to find the daemon: name the daemon with --admin URL", path);
}

/* The token of one entry of admin.tokens. Files that this user may not read are for others. */
static int use_entry(struct cox_cli_target *target, const char *program, const char *path, const json_t *entry) {
  const char *const token = nonempty(json_string_value(json_object_get(entry, "token")));
  const char *const file = nonempty(json_string_value(json_object_get(entry, "token_file")));
  if (token != NULL) return take_token(target, program, token, strlen(token), path);
  return file != NULL && access(file, R_OK) == 0 ? read_token_file(target, program, file) : COX_EXIT_DONE;
}

/* admin.token, or of admin.tokens the one with the widest scope: who may read it there may use it. */
static int use_tokens(struct cox_cli_target *target, const char *program, const char *path, const json_t *admin) {
  static const char *const scopes[] = {"admin", "operate", "read"}; /* the widest first */
  const char *const token = nonempty(json_string_value(json_object_get(admin, "token")));
  int rc = target->token == NULL && token != NULL ? take_token(target, program, token, strlen(token), path) : COX_EXIT_DONE;
  for (size_t scope = 0; scope < sizeof scopes / sizeof *scopes; scope++) {
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(admin, "tokens"), i, entry) {
      const char *const has = json_string_value(json_object_get(entry, "scope"));
      const bool is_wanted = rc == COX_EXIT_DONE && target->token == NULL && has != NULL && strcmp(has, scopes[scope]) == 0;
      if (is_wanted) rc = use_entry(target, program, path, entry);
    }
  }
  return rc;
}

/* Takes what is not said yet: the address, and the token when nobody gave one. */
static int use_config(struct cox_cli_target *target, const struct cox_cli_env *env, const char *program, const char *path, bool is_named) {
  struct cox_faults faults = {0};
  json_t *const config = env->load_config(path, &faults);
  int rc = COX_EXIT_DONE;
  if (config == NULL) {
    rc = say_faults(program, path, &faults, is_named);
    goto out;
  }
  const json_t *const admin = json_object_get(config, "admin");
  const char *const listen = nonempty(json_string_value(json_object_get(admin, "listen")));
  const char *const ca = nonempty(json_string_value(json_object_get(json_object_get(admin, "tls"), "ca")));
  if (target->ca == NULL && ca != NULL && (target->ca = strdup(ca)) == NULL) rc = out_of_memory(program);
  target->config = strdup(path);
  if (target->config == NULL) rc = out_of_memory(program);
  if (rc == COX_EXIT_DONE) rc = use_tokens(target, program, path, admin);
  if (rc != COX_EXIT_DONE || target->base_url != NULL || target->unix_socket != NULL || listen == NULL) goto out;
  rc = take_listen(target, program, listen, json_is_object(json_object_get(admin, "tls")));
out:
  json_decref(config);
  cox_faults_fini(&faults);
  return rc;
}

/* The address of one source; `is_found`: it named one. */
static int use_said(struct cox_cli_target *target, const struct cox_cli_env *env, const char *program, const struct said *said, bool *is_found) {
  int rc = COX_EXIT_DONE;
  *is_found = said->socket != NULL || said->admin != NULL || said->config != NULL;
  if (said->socket != NULL) {
    target->unix_socket = strdup(said->socket);
    if (target->unix_socket == NULL) return out_of_memory(program);
  }
  if (said->admin != NULL) rc = take_url(target, program, said->admin);
  if (rc == COX_EXIT_DONE && said->config != NULL) rc = use_config(target, env, program, said->config, true);
  return rc;
}

/* NULL: none is there. */
static const char *find_place(const struct cox_cli_env *env) {
  const char *const *const places = env->config_places != NULL ? env->config_places : default_places;
  for (size_t i = 0; places[i] != NULL; i++) {
    if (access(places[i], F_OK) == 0) return places[i];
  }
  return NULL;
}

static int use_places(struct cox_cli_target *target, const struct cox_cli_env *env, const char *program) {
  const char *const place = find_place(env);
  return place != NULL ? use_config(target, env, program, place, false) : COX_EXIT_DONE;
}

const char *cox_cli_config_find(const struct cox_cli_env *env, const struct cox_cli_args *args) {
  const char *const named = cox_cli_args_value(args, "config"), *const said = nonempty(getenv("COXSWAIN_CONFIG"));
  return named != NULL ? named : said != NULL ? said : find_place(env);
}

/* A token that is said by itself goes before that of a configuration of the same source. */
static int find(struct cox_cli_target *target, const struct cox_cli_env *env, const struct cox_cli_args *args) {
  const char *const program = args->program, *const token_file = cox_cli_args_value(args, "token-file");
  const char *const token = nonempty(getenv("COXSWAIN_TOKEN"));
  const struct said options = {cox_cli_args_value(args, "socket"), cox_cli_args_value(args, "admin"), cox_cli_args_value(args, "config")};
  const struct said variables = {nonempty(getenv("COXSWAIN_SOCKET")), nonempty(getenv("COXSWAIN_ADMIN")), nonempty(getenv("COXSWAIN_CONFIG"))};
  bool is_found = false;
  const char *const ca = cox_cli_args_value(args, "ca");
  if (ca != NULL && (target->ca = strdup(ca)) == NULL) return out_of_memory(program);
  int rc = token_file != NULL ? read_token_file(target, program, token_file) : COX_EXIT_DONE;
  if (rc == COX_EXIT_DONE) rc = use_said(target, env, program, &options, &is_found);
  if (rc == COX_EXIT_DONE && target->token == NULL && token != NULL) rc = take_token(target, program, token, strlen(token), "COXSWAIN_TOKEN");
  if (rc == COX_EXIT_DONE && !is_found) rc = use_said(target, env, program, &variables, &is_found);
  if (rc == COX_EXIT_DONE && !is_found) rc = use_places(target, env, program);
  if (rc != COX_EXIT_DONE || target->base_url != NULL) return rc;
  return take_url(target, program, target->unix_socket != NULL ? "http://localhost" : default_url);
}

int cox_cli_target_find(struct cox_cli_target *target, const struct cox_cli_env *env, const struct cox_cli_args *args) {
  *target = (struct cox_cli_target){0};
  const int rc = find(target, env, args);
  if (rc != COX_EXIT_DONE) {
    cox_cli_target_fini(target);
    return rc;
  }
  target->client = (struct cox_client){
      .base_url = target->base_url,
      .unix_socket = target->unix_socket,
      .token = target->token,
      .ca_file = target->ca,
      .call = env->call,
  };
  return COX_EXIT_DONE;
}

void cox_cli_target_fini(struct cox_cli_target *target) {
  free(target->base_url);
  free(target->unix_socket);
  free(target->token);
  free(target->config);
  free(target->ca);
  *target = (struct cox_cli_target){0};
}

const char *cox_cli_target_place(const struct cox_cli_target *target) {
  return target->unix_socket != NULL ? target->unix_socket : target->base_url;
}
