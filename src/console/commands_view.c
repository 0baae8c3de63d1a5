#include "console/commands_view.h"

#include <stdlib.h>
#include <string.h>

#include "console/node_view.h"
#include "console/table.h"

enum { ARGUMENTS_MAX = 64 };

static const struct cox_column columns[] = {
    {.title = "COMMAND"}, {.title = "PRIORITY", .rank = 1}, {.title = "DOES", .least = 20}, {.title = "ARGUMENTS", .least = 12, .rank = 2}};

static bool is_optional(const char *name) { return *name != '\0' && name[strlen(name) - 1] == '?'; }

static int by_need(const void *left, const void *right) {
  const char *const one = *(const char *const *)left, *const other = *(const char *const *)right;
  const int order = (int)is_optional(one) - (int)is_optional(other);
  return order != 0 ? order : strcmp(one, other);
}

/* The needed ones first. */
static void add_arguments(const json_t *args, struct cox_buf *out) {
  const char *names[ARGUMENTS_MAX], *name;
  size_t count = 0;
  json_t *type;
  json_object_foreach((json_t *)(uintptr_t)args, name, type) {
    if (count < ARGUMENTS_MAX) names[count++] = name;
  }
  if (count > 1) qsort(names, count, sizeof *names, by_need);
  for (size_t i = 0; i < count; i++) cox_buf_addf(out, "%s%s", i > 0 ? " " : "", names[i]);
}

bool cox_commands_view(const json_t *list, const struct cox_term *term, struct cox_buf *out) {
  struct cox_table *const table = cox_table_create(columns, sizeof columns / sizeof *columns);
  size_t i;
  json_t *command;
  if (table == NULL) return false;
  json_array_foreach((json_t *)(uintptr_t)list, i, command) {
    struct cox_buf arguments = {0};
    add_arguments(json_object_get(command, "args"), &arguments);
    const struct cox_cell cells[] = {{cox_node_view_text(command, "name"), COX_STYLE_PLAIN},
                                     {cox_node_view_text(command, "priority"), COX_STYLE_DIM},
                                     {cox_node_view_text(command, "help"), COX_STYLE_PLAIN},
                                     {arguments.data, COX_STYLE_DIM}};
    cox_table_add(table, cells);
    cox_buf_fini(&arguments);
  }
  cox_table_render(table, term, out);
  cox_table_destroy(table);
  return true;
}
