/* What the demo says at its end: did every node follow every phase? Fed with what readers of the broker see, so that it
 * judges from outside.
 *
 * Each epoch has three stretches in which a node must reach a state: POC/GENERATING before the end of generation,
 * POC/VALIDATING before the end of validation, INFERENCE before the next PoC start. A node that is preserved, disabled or in
 * training must be what it is intended to be. A stretch whose beginning was not seen, of the fleet or of a node, is not judged. */
#ifndef COX_CONSOLE_DEMO_REPORT_H
#define COX_CONSOLE_DEMO_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "console/term.h"

struct cox_demo_report;

/* NULL: out of memory. */
struct cox_demo_report *cox_demo_report_create(void);
void cox_demo_report_destroy(struct cox_demo_report *report);
/* At each tick, several times within the shortest stretch; borrows both. `now_ms` is the wall clock. */
void cox_demo_report_feed(struct cox_demo_report *report, json_t *nodes, const json_t *world, int64_t now_ms);
/* Epochs of which all three stretches were judged: they are over. */
size_t cox_demo_report_epochs(const struct cox_demo_report *report);
/* Something was judged, and no node missed anything. */
bool cox_demo_report_is_good(const struct cox_demo_report *report);
void cox_demo_report_render(const struct cox_demo_report *report, const struct cox_term *term, struct cox_buf *out);

#endif
