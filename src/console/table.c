#include "console/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "console/text.h"

enum { GAP = 2 };

struct cell {
  char *text; /* clean, owned */
  int width;
  enum cox_style style;
};

struct cox_table {
  const struct cox_column *columns;
  size_t count;
  struct cell *cells; /* count for each row */
  size_t rows, capacity;
};

struct layout {
  int width[COX_TABLE_COLUMNS]; /* 0: left out */
};

struct cox_table *cox_table_create(const struct cox_column *columns, size_t count) {
  assert(count > 0 && count <= COX_TABLE_COLUMNS);
  struct cox_table *const table = calloc(1, sizeof *table);
  if (table == NULL) return NULL;
  table->columns = columns;
  table->count = count;
  return table;
}

void cox_table_destroy(struct cox_table *table) {
  if (table == NULL) return;
  for (size_t i = 0; i < table->rows * table->count; i++) free(table->cells[i].text);
  free(table->cells);
  free(table);
}

static bool reserve_row(struct cox_table *table) {
  if (table->rows < table->capacity) return true;
  const size_t capacity = table->capacity == 0 ? 16 : table->capacity * 2;
  struct cell *const cells = realloc(table->cells, capacity * table->count * sizeof *cells);
  if (cells == NULL) return false;
  table->cells = cells;
  table->capacity = capacity;
  return true;
}

static bool fill_cell(struct cell *cell, const struct cox_cell *given) {
  struct cox_buf clean = {0};
  if (!cox_text_clean(&clean, given->text)) {
    cox_buf_fini(&clean);
    return false;
  }
  *cell = (struct cell){.text = clean.data, .width = cox_text_width(clean.data), .style = given->style};
  return true;
}

bool cox_table_add(struct cox_table *table, const struct cox_cell *cells) {
  if (!reserve_row(table)) return false;
  struct cell *const row = &table->cells[table->rows * table->count];
  for (size_t i = 0; i < table->count; i++) {
    if (fill_cell(&row[i], &cells[i])) continue;
    while (i-- > 0) free(row[i].text);
    return false;
  }
  table->rows++;
  return true;
}

/* ---- which columns are shown, and how wide ---- */

static void take_natural(const struct cox_table *table, struct layout *layout) {
  for (size_t i = 0; i < table->count; i++) {
    if (layout->width[i] == 0) continue; /* left out already */
    layout->width[i] = cox_text_width(table->columns[i].title);
    for (size_t row = 0; row < table->rows; row++) {
      const int width = table->cells[row * table->count + i].width;
      if (width > layout->width[i]) layout->width[i] = width;
    }
    if (layout->width[i] == 0) layout->width[i] = 1;
  }
}

static int total(const struct cox_table *table, const struct layout *layout) {
  int sum = 0;
  for (size_t i = 0; i < table->count; i++) {
    if (layout->width[i] > 0) sum += (sum > 0 ? GAP : 0) + layout->width[i];
  }
  return sum;
}

/* Cuts the widest columns until all fit. `is_desperate`: also those that ask not to be cut. False: it does not do. */
static bool cut(const struct cox_table *table, struct layout *layout, int width, bool is_desperate) {
  for (int excess = total(table, layout) - width; excess > 0; excess--) {
    size_t widest = table->count;
    for (size_t i = 0; i < table->count; i++) {
      const int least = is_desperate ? 1 : table->columns[i].least;
      if (least == 0 || layout->width[i] <= least) continue;
      if (widest == table->count || layout->width[i] > layout->width[widest]) widest = i;
    }
    if (widest == table->count) return false;
    layout->width[widest]--;
  }
  return true;
}

/* Where there is not room for all, columns that say nothing go first. */
static void leave_out_empty(const struct cox_table *table, struct layout *layout) {
  for (size_t i = 0; i < table->count; i++) {
    bool is_empty = table->columns[i].rank > 0;
    for (size_t row = 0; is_empty && row < table->rows; row++) is_empty = table->cells[row * table->count + i].width == 0;
    if (is_empty) layout->width[i] = 0;
  }
}

static bool leave_one_out(const struct cox_table *table, struct layout *layout) {
  size_t worst = table->count;
  for (size_t i = 0; i < table->count; i++) {
    if (layout->width[i] == 0 || table->columns[i].rank == 0) continue;
    if (worst == table->count || table->columns[i].rank > table->columns[worst].rank) worst = i;
  }
  if (worst == table->count) return false;
  layout->width[worst] = 0;
  return true;
}

static void lay_out(const struct cox_table *table, int width, struct layout *layout) {
  for (size_t i = 0; i < table->count; i++) layout->width[i] = 1;
  take_natural(table, layout);
  if (width > 0 && total(table, layout) > width) leave_out_empty(table, layout);
  while (width > 0 && !cut(table, layout, width, false)) {
    if (!leave_one_out(table, layout)) {
      take_natural(table, layout);
      if (cut(table, layout, width, true)) return;
      for (size_t i = 1; i < table->count; i++) layout->width[i] = 0;
      layout->width[0] = width;
      return;
    }
    take_natural(table, layout);
  }
}

/* ---- drawing ---- */

static void draw_cell(const struct cell *cell, int width, bool is_right, bool is_last, const struct cox_term *term, struct cox_buf *out) {
  const int spare = width > cell->width ? width - cell->width : 0;
  if (is_right) cox_text_pad(out, spare);
  cox_term_begin(term, cell->style, out);
  const int taken = cox_text_cut(out, cell->text, width);
  cox_term_end(term, cell->style, out);
  if (!is_right && !is_last) cox_text_pad(out, width - taken);
}

/* Behind the last cell with a text nothing is written, so that no line ends in spaces. */
static void draw_row(const struct cox_table *table, const struct layout *layout, const struct cell *row,
                     const struct cox_term *term, struct cox_buf *out) {
  size_t last = 0;
  for (size_t i = 0; i < table->count; i++) {
    if (layout->width[i] > 0 && row[i].width > 0) last = i;
  }
  bool is_first = true;
  for (size_t i = 0; i <= last; i++) {
    if (layout->width[i] == 0) continue;
    if (!is_first) cox_text_pad(out, GAP);
    is_first = false;
    draw_cell(&row[i], layout->width[i], table->columns[i].is_right, i == last, term, out);
  }
  cox_buf_add(out, "\n", 1);
}

void cox_table_render(const struct cox_table *table, const struct cox_term *term, struct cox_buf *out) {
  struct layout layout;
  lay_out(table, term->width, &layout);
  struct cell titles[COX_TABLE_COLUMNS];
  for (size_t i = 0; i < table->count; i++) {
    const char *const title = table->columns[i].title;
    titles[i] = (struct cell){.text = (char *)(uintptr_t)title, .width = cox_text_width(title), .style = COX_STYLE_BOLD};
  }
  draw_row(table, &layout, titles, term, out);
  for (size_t row = 0; row < table->rows; row++) draw_row(table, &layout, &table->cells[row * table->count], term, out);
}
