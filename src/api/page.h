/* The dashboard's files, joined and embedded by the build (tools/cmake/page.cmake from src/api/page). */
#ifndef COX_API_PAGE_H
#define COX_API_PAGE_H

#include <stddef.h>

struct cox_page_file {
  const unsigned char *data;
  size_t len;
  const char *tag; /* changes with the content; of hex digits */
};

extern const struct cox_page_file cox_page_html, cox_page_script, cox_page_style, cox_page_icon;

#endif
