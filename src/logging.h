/* Where the log goes: standard error, or a file that is opened anew when it was rotated. */
#ifndef COX_LOGGING_H
#define COX_LOGGING_H

#include <jansson.h>
#include <stdbool.h>

/* By the configuration's `log`; `path` NULL: standard error. Before the threads. False: the file cannot be opened, which was said. */
bool cox_logging_start(const json_t *config, const char *path);
/* Opens the file of cox_logging_start anew: whoever rotates logs has moved the old one away. Any time; nothing without a file. */
void cox_logging_reopen(void);

#endif
