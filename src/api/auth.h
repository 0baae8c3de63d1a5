/* Who may ask. */
#ifndef COX_API_AUTH_H
#define COX_API_AUTH_H

#include <stdbool.h>

/* Does the Authorization header (NULL: none came) carry this bearer token? Takes the same time for every wrong token of
 * one length.                                                                                                         */
bool cox_auth_allows(const char *token, const char *header);

#endif
