/* What the journal says about a stretch of time: who was what when, what the network asked, what was tried and what was missed. */
#ifndef COX_CONSOLE_REPORT_H
#define COX_CONSOLE_REPORT_H

#include <jansson.h>
#include <stdint.h>

#include "base/buf.h"

struct cox_report {
  int64_t since_ms, until_ms;
  int64_t last_ms;  /* of the newest record */
  json_t *nodes;    /* id → { spans, targets, loads_ms }, while records come */
  json_t *phases;   /* [{ asks, from_ms, to_ms }] */
  json_t *attempts; /* "POC/GENERATING" → { outcome → count } */
  json_t *missed;   /* [{ node_id, asks, from_ms, to_ms, was, why }] */
  json_t *starts;   /* [ms]: the daemon began */
  int64_t lost;     /* records that are missing in between */
};

void cox_report_init(struct cox_report *report, int64_t since_ms, int64_t until_ms);
void cox_report_fini(struct cox_report *report);
/* The next record of the journal, in order; those before `since_ms` only say how things stood then. */
void cox_report_add(struct cox_report *report, const json_t *record);
/* Closes what is open and gives all of it: { since_ms, until_ms, nodes: [{ id, spans, targets, loads_ms }], phases, attempts, missed,
 * starts, lost }. A new reference.                                                                                                    */
json_t *cox_report_data(struct cox_report *report);

/* Renderings of that data. False: out of memory. */
bool cox_report_html(const json_t *data, struct cox_buf *out);
bool cox_report_csv(const json_t *data, struct cox_buf *out);

#endif
