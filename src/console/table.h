/* Tables for people: on a terminal they fit its width, anywhere else they are aligned plain text without tabs. */
#ifndef COX_CONSOLE_TABLE_H
#define COX_CONSOLE_TABLE_H

#include <stddef.h>

#include "console/term.h"

struct cox_table;

struct cox_column {
  const char *title;
  int least;     /* columns that it may be cut to; 0: it is not cut while anything else can give way */
  int rank;      /* when cutting does not do, columns are left out: empty ones, then the highest rank first; 0: never */
  bool is_right; /* numbers */
};

struct cox_cell {
  const char *text; /* anything: it is cleaned; NULL: empty */
  enum cox_style style;
};

enum { COX_TABLE_COLUMNS = 12 };

/* At most COX_TABLE_COLUMNS; `columns` is borrowed and must outlive the table. NULL: out of memory. */
struct cox_table *cox_table_create(const struct cox_column *columns, size_t count);
void cox_table_destroy(struct cox_table *table);
/* One cell for each column. False: out of memory; nothing was added. */
bool cox_table_add(struct cox_table *table, const struct cox_cell *cells);
/* Title and rows, each ended by a newline, none wider than the terminal. */
void cox_table_render(const struct cox_table *table, const struct cox_term *term, struct cox_buf *out);

#endif
