/* Where a key stands in the source of a configuration: a help for people, absent where it is not plain to see. */
#ifndef COX_SCRIPT_CONFIG_LINES_H
#define COX_SCRIPT_CONFIG_LINES_H

#include <stddef.h>

struct cox_config_lines {
  char *code; /* the source with comments and strings blanked out; NULL: no line is known */
};

void cox_config_lines_init(struct cox_config_lines *lines, const char *source, size_t len);
void cox_config_lines_fini(struct cox_config_lines *lines);
/* The line on which "admin.listen" is set; 0: it is set nowhere by that name, or at several places. */
int cox_config_lines_find(const struct cox_config_lines *lines, const char *path);

#endif
