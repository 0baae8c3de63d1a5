/* Between reload.c, which does the work, and reload_order.c, which knows what is to be done. */
#ifndef COX_SCRIPT_RELOAD_ORDER_H
#define COX_SCRIPT_RELOAD_ORDER_H

#include "script/reload.h"

struct cox_reload_order {
  enum { COX_RELOAD_NOTHING, COX_RELOAD_ASKED, COX_RELOAD_LOOK, COX_RELOAD_GIVE_UP } kind;
  enum cox_order_kind asked;
  struct cox_scripts_request *request;
  char caller[64], why[512];
  uint64_t failed_number; /* GIVE_UP: the generation that fails */
  bool follows;           /* somebody asked for it: what the configuration names may be others, too */
};

/* cox-reload: carries it out, and answers. */
void cox_reload_do(struct cox_reload *reload, const struct cox_reload_order *order);
/* cox-reload: from now until the end a newer request to reload, or a stop, makes the load under way end early (reload->is_left). */
void cox_reload_begin_load(struct cox_reload *reload);
/* True: it was left for a newer request, and is to begin again with the files as they are now. */
bool cox_reload_end_load(struct cox_reload *reload);

#endif
