/* The dashboard: static files that are a part of the program. Public, because they say nothing about the fleet: the page asks the API
 * with the token that its user types in.                                                                                           */
#include "api/routes.h"

#include <stdio.h>

#include "api/page.h"
#include "api/request.h"

/* Whatever gets into the page can load nothing, run nothing and ask nobody but this daemon; nobody may frame it. */
static const char *const headers[][2] = {
    {"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
                                "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
                                "trusted-types 'none'"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"},
    {"Cache-Control", "no-cache"}, /* asked for again each time: a new program brings a new page */
    {NULL, NULL},
};

static void serve(struct cox_request *request, const struct cox_page_file *file, const char *content_type) {
  struct cox_buf copy = {0};
  request->headers = headers;
  snprintf(request->etag, sizeof request->etag, "\"%s\"", file->tag);
  if (cox_etag_is_among(request->if_none_match, request->etag)) {
    cox_request_answer_blob(request, 304, content_type, cox_blob_text(""));
    return;
  }
  const bool is_whole = cox_buf_add(&copy, (const char *)file->data, file->len);
  cox_request_answer_blob(request, 200, content_type, is_whole ? cox_blob_take(&copy) : NULL);
  cox_buf_fini(&copy);
}

void cox_get_page(struct cox_request *request) { serve(request, &cox_page_html, "text/html; charset=utf-8"); }
void cox_get_page_script(struct cox_request *request) { serve(request, &cox_page_script, "text/javascript; charset=utf-8"); }
void cox_get_page_style(struct cox_request *request) { serve(request, &cox_page_style, "text/css; charset=utf-8"); }
void cox_get_page_icon(struct cox_request *request) { serve(request, &cox_page_icon, "image/svg+xml"); }
