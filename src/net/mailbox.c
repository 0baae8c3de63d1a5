#include "net/mailbox.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

struct cox_mailbox *cox_mailbox_create(struct cox_err *err) {
  struct cox_mailbox *const mailbox = calloc(1, sizeof *mailbox);
  if (mailbox == NULL) {
    cox_err_set(err, COX_ENOMEM, "making a worker's mailbox failed: out of memory");
    return NULL;
  }
  atomic_init(&mailbox->references, 1);
  mailbox->attempts.event_fd = mailbox->notes.event_fd = -1;
  if (cox_queue_init(&mailbox->attempts, true, err) != 0 || cox_queue_init(&mailbox->notes, true, err) != 0) {
    cox_mailbox_release(mailbox);
    return NULL;
  }
  return mailbox;
}

struct cox_mailbox *cox_mailbox_hold(struct cox_mailbox *mailbox) {
  atomic_fetch_add_explicit(&mailbox->references, 1, memory_order_relaxed);
  return mailbox;
}

void cox_mailbox_release(struct cox_mailbox *mailbox) {
  if (mailbox == NULL || atomic_fetch_sub_explicit(&mailbox->references, 1, memory_order_acq_rel) > 1) return;
  struct cox_queue_link *link = cox_queue_take(&mailbox->notes);
  while (link != NULL) {
    struct cox_note *const note = COX_CONTAINER(link, struct cox_note, link);
    link = link->next;
    cox_note_destroy(note);
  }
  assert(cox_queue_take(&mailbox->attempts) == NULL);
  cox_queue_fini(&mailbox->attempts);
  cox_queue_fini(&mailbox->notes);
  free(mailbox);
}

struct cox_note *cox_note_create(enum cox_note_kind kind) {
  struct cox_note *const note = calloc(1, sizeof *note);
  if (note != NULL) note->kind = kind;
  return note;
}

void cox_note_destroy(struct cox_note *note) {
  if (note == NULL) return;
  assert(note->reply == NULL);
  json_decref(note->answer);
  json_decref(note->args);
  free(note->command);
  free(note);
}

void cox_note_answer_chore(struct cox_note *note, struct cox_mailbox *mailbox, struct cox_answer *answer) {
  cox_reply_fn *const reply = note->reply;
  note->reply = NULL;
  atomic_fetch_sub(&mailbox->chores, 1);
  reply(note->arg, answer);
  cox_answer_fini(answer);
  cox_note_destroy(note);
}

void cox_mailbox_post(struct cox_mailbox *mailbox, struct cox_note *note) { cox_queue_push(&mailbox->notes, &note->link); }

bool cox_mailbox_has_notes(struct cox_mailbox *mailbox) {
  return atomic_load_explicit(&mailbox->notes.head, memory_order_relaxed) != NULL;
}
