/* `key=value` arguments: added to an object, numbers and true/false read as such. */
#ifndef COX_CONSOLE_PAIRS_H
#define COX_CONSOLE_PAIRS_H

#include <jansson.h>

#include "base/err.h"

/* The value of a text: true, false, a whole number (of 64 bits) or a decimal one as JSON writes them, a text in double quotes
 * as JSON writes it ("12" is a text then), else the text itself. An exponent does not make a number: 12E4 may be half a hash.
 * NULL: not UTF-8, or out of memory.                                                                                            */
json_t *cox_pairs_value(const char *text);

/* A new object: that of `json` (NULL: {}), to which the pairs are added; a pair goes before a field of the same name.
 * NULL with the reason: no object, no `key=value`, a key given twice.                                                    */
json_t *cox_pairs_object(const char *json, char *const *pairs, int count, struct cox_err *err);

#endif
