#include "sim/fleet_fault.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sim/sim.h"

enum value { NO_VALUE, NUMBER, TEXT, TEXT_NEEDED };

static const struct rule {
  const char *name;
  enum value value;
  double usual, least, most; /* of a number */
  bool has_part;             /* may be narrowed to calls */
} rules[COX_FAULT_KINDS] = {
    [COX_FAULT_HANG] = {"hang", NO_VALUE, .has_part = true},
    [COX_FAULT_SILENCE] = {"silence", NO_VALUE, .has_part = true},
    [COX_FAULT_REFUSE] = {"refuse", NO_VALUE},
    [COX_FAULT_ERROR] = {"error", NUMBER, 500, 400, 599, .has_part = true},
    [COX_FAULT_LIE] = {"lie", TEXT, .has_part = true},
    [COX_FAULT_LIE_POW] = {"lie_pow", TEXT_NEEDED},
    [COX_FAULT_CLOSE] = {"close", NO_VALUE, .has_part = true},
    [COX_FAULT_HALF_HEADER] = {"half_header", NO_VALUE, .has_part = true},
    [COX_FAULT_SLOW] = {"slow", NUMBER, 1000, 1, 3600000, .has_part = true},
    [COX_FAULT_HUGE] = {"huge", NO_VALUE, .has_part = true},
    [COX_FAULT_BAD_JSON] = {"bad_json", NO_VALUE, .has_part = true},
    [COX_FAULT_CONFLICT] = {"conflict", NO_VALUE, .has_part = true},
    [COX_FAULT_REDIRECT] = {"redirect", TEXT, .has_part = true},
    [COX_FAULT_READY_NEVER] = {"ready_never", NO_VALUE},
    [COX_FAULT_LOAD_FAIL] = {"load_fail", NO_VALUE},
    [COX_FAULT_LOAD_NEVER] = {"load_never", NO_VALUE},
    [COX_FAULT_TRAIN_STUCK] = {"train_stuck", NO_VALUE},
    [COX_FAULT_POW_LOADING] = {"pow_loading", NO_VALUE},
    [COX_FAULT_RESTART] = {"restart", NUMBER, 10, 0, 86400},
    [COX_FAULT_UNHEALTHY] = {"unhealthy", NO_VALUE},
    [COX_FAULT_TWO] = {"two_services", NUMBER, 409, 409, 500},
    [COX_FAULT_NONE] = {"none", NO_VALUE},
};

const char *cox_sim_fleet_usage(void) {
  return "Faults: [nodes:]fault[=value][@part]\n"
         "  nodes   node7 or 7, 1-50, 5% (chosen by the seed); left out: all\n"
         "  part    only calls whose \"METHOD path\" contains it, such as @POST or @inference/up\n"
         "  fault=off ends one fault, none ends all\n"
         "\n"
         "  hang              accepts, never answers, does nothing\n"
         "  silence           does what is asked, never answers\n"
         "  refuse            nobody listens (takes no part)\n"
         "  error[=STATUS]    answers 500 or STATUS, does nothing\n"
         "  conflict          answers 409, does nothing\n"
         "  redirect[=URL]    answers 307 to URL, does nothing\n"
         "  close             resets the connection without an answer\n"
         "  half_header       sends half a header, then nothing\n"
         "  slow[=MS]         one byte of the body every MS milliseconds (1000)\n"
         "  huge              a body without an end\n"
         "  bad_json          does what is asked, answers with cut JSON\n"
         "  lie               says OK to every POST and does nothing\n"
         "  lie=STATE         GET state says STATE, whatever runs\n"
         "  lie_pow=STATUS    pow/status says STATUS, whatever runs\n"
         "  pow_loading       pow/status says LOADING until its model is initialised\n"
         "  ready_never       inference/up says OK, the server never becomes healthy\n"
         "  load_fail         inference/up fails as the release does it, and the process ends\n"
         "  load_never        inference/up fails only after 1200 s\n"
         "  train_stuck       training does not die: stop says 500 after 5 s\n"
         "Happen once:\n"
         "  restart[=S]       the process ends now and is back after S seconds (10)\n"
         "  unhealthy         the serving backend dies; the process ends as the release does it\n"
         "  two_services[=409|500]  the next GET state finds two services and stops all\n";
}

const char *cox_fleet_fault_name(enum cox_fleet_fault_kind kind) { return rules[kind].name; }

/* ---- which nodes ---- */

static bool read_number(const char **text, unsigned *out) {
  if (!isdigit((unsigned char)**text)) return false;
  char *end;
  errno = 0;
  const unsigned long number = strtoul(*text, &end, 10);
  if (errno != 0 || number > 1000000) return false;
  *text = end;
  *out = (unsigned)number;
  return true;
}

static bool read_choice(const char *text, const char *end, struct cox_fleet_choice *out) {
  if (strncmp(text, "node", 4) == 0) text += 4;
  if (!read_number(&text, &out->first)) return false;
  out->last = out->first;
  if (text < end && *text == '%') {
    out->percent = out->first;
    out->first = 1;
    return text + 1 == end && out->percent >= 1 && out->percent <= 100;
  }
  if (text < end && *text == '-') {
    text++;
    if (strncmp(text, "node", 4) == 0) text += 4;
    if (!read_number(&text, &out->last)) return false;
  }
  return text == end;
}

bool cox_fleet_choice_has(const struct cox_fleet_choice *choice, unsigned number, uint64_t seed) {
  if (choice->percent == 0) return number >= choice->first && number <= choice->last;
  struct cox_rng rng;
  cox_rng_init(&rng, seed ^ (uint64_t)number * 0x9e3779b97f4a7c15u);
  return cox_rng_below(&rng, 100) < choice->percent;
}

/* ---- which fault ---- */

static int kind_of(const char *name, size_t length) {
  for (int kind = 0; kind < COX_FAULT_KINDS; kind++) {
    if (strlen(rules[kind].name) == length && memcmp(rules[kind].name, name, length) == 0) return kind;
  }
  return -1;
}

static int fault_number(const char *spec, const struct rule *rule, struct cox_fleet_fault *fault, struct cox_err *err) {
  fault->number = rule->usual;
  if (fault->value[0] == '\0') return 0;
  char *end;
  fault->number = strtod(fault->value, &end);
  if (*end != '\0' || !(fault->number >= rule->least && fault->number <= rule->most)) {
    return cox_err_set(err, COX_EINVAL, "fault \"%s\": the value of %s must be a number from %g to %g, not \"%s\"", spec, rule->name,
                       rule->least, rule->most, fault->value);
  }
  return 0;
}

static int fault_value(const char *spec, const struct rule *rule, struct cox_fleet_fault *fault, struct cox_err *err) {
  const bool is_lasting = fault->kind < COX_FAULT_KINDS_LASTING;
  if (is_lasting && strcmp(fault->value, "off") == 0) {
    fault->is_off = true;
    return 0;
  }
  switch (rule->value) {
  case NUMBER:
    if (fault_number(spec, rule, fault, err) != 0) return COX_EINVAL;
    if (fault->kind == COX_FAULT_TWO && fault->number != 409 && fault->number != 500) {
      return cox_err_set(err, COX_EINVAL, "fault \"%s\": two_services answers 409 or 500, not %s", spec, fault->value);
    }
    return 0;
  case NO_VALUE:
    if (fault->value[0] == '\0') return 0;
    return cox_err_set(err, COX_EINVAL, "fault \"%s\": %s takes no value%s", spec, rule->name, is_lasting ? " but \"off\"" : "");
  case TEXT_NEEDED:
    if (fault->value[0] != '\0') return 0;
    return cox_err_set(err, COX_EINVAL, "fault \"%s\": give %s a value, as in %s=SOMETHING", spec, rule->name, rule->name);
  case TEXT:
    return 0;
  }
  return 0;
}

static bool copy(char *out, size_t room, const char *from, size_t length) {
  if (length >= room) return false;
  memcpy(out, from, length);
  out[length] = '\0';
  return true;
}

/* "name[=value][@part]"; a value may hold colons and an @ only before the last one. */
static int fault_body(const char *spec, const char *text, struct cox_fleet_fault *fault, struct cox_err *err) {
  const char *const equals = strchr(text, '=');
  const char *const at = strrchr(text, '@');
  const char *const end = text + strlen(text);
  const char *const value_end = at != NULL ? at : end;
  const bool has_value = equals != NULL && equals < value_end;
  const size_t name_length = (size_t)((has_value ? equals : value_end) - text);
  const int kind = kind_of(text, name_length);
  if (kind < 0) {
    return cox_err_set(err, COX_EINVAL,
                       "fault \"%s\": there is no fault \"%.*s\"; known are hang, silence, refuse, error, … (--help lists all)", spec, (int)name_length, text);
  }
  const struct rule *const rule = &rules[kind];
  fault->kind = (enum cox_fleet_fault_kind)kind;
  if (has_value && !copy(fault->value, sizeof fault->value, equals + 1, (size_t)(value_end - equals - 1))) {
    return cox_err_set(err, COX_EINVAL, "fault \"%s\": the value is longer than %d bytes", spec, COX_FAULT_VALUE_MAX - 1);
  }
  if (at != NULL && (!rule->has_part || at[1] == '\0' || !copy(fault->part, sizeof fault->part, at + 1, (size_t)(end - at - 1)))) {
    return cox_err_set(err, COX_EINVAL, "fault \"%s\": %s", spec,
                       rule->has_part ? "after the @ goes a part of \"METHOD path\", at most 47 bytes"
                                      : "this fault cannot be narrowed by an @part");
  }
  return fault_value(spec, rule, fault, err);
}

int cox_fleet_fault_parse(const char *spec, unsigned count, struct cox_fleet_choice *choice, struct cox_fleet_fault *fault,
                          struct cox_err *err) {
  *choice = (struct cox_fleet_choice){.first = 1, .last = count};
  *fault = (struct cox_fleet_fault){0};
  const char *body = spec;
  /* A colon after the = or the @ belongs to these. */
  const char *const colon = spec[strcspn(spec, ":=@")] == ':' ? strchr(spec, ':') : NULL;
  if (colon != NULL) {
    if (!read_choice(spec, colon, choice)) {
      return cox_err_set(err, COX_EINVAL, "fault \"%s\": before the colon go nodes: node7 or 7, 1-50, 5%%", spec);
    }
    if (choice->percent == 0 && (choice->first < 1 || choice->last > count || choice->first > choice->last)) {
      return cox_err_set(err, COX_EINVAL, "fault \"%s\": there are the nodes 1 to %u", spec, count);
    }
    body = colon + 1;
  }
  return fault_body(spec, body, fault, err);
}
