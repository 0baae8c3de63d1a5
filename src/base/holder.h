/* Who holds what we wanted: for messages that say more than "already in use". */
#ifndef COX_BASE_HOLDER_H
#define COX_BASE_HOLDER_H

#include <stdbool.h>
#include <sys/types.h>

enum { COX_HOLDER_TEXT = 64 };

/* "process 123 (coxswain)". */
void cox_holder_name(pid_t pid, char out[COX_HOLDER_TEXT]);
/* The process that listens on a TCP port of this machine; "another process" when the system does not tell (it is another user's). */
void cox_holder_of_port(unsigned port, char out[COX_HOLDER_TEXT]);

#endif
