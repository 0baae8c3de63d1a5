/* Whom the mode of a file lets in beside its owner and their group. */
#ifndef COX_BASE_EXPOSURE_H
#define COX_BASE_EXPOSURE_H

#include <sys/types.h>

/* "everybody on this machine may read it"; NULL: nobody else may do anything to it. */
const char *cox_exposure_words(mode_t mode);

#endif
