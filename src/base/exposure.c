#include "base/exposure.h"

#include <stddef.h>
#include <sys/stat.h>

const char *cox_exposure_words(mode_t mode) {
  if ((mode & S_IWOTH) != 0) return "everybody on this machine may change it";
  return (mode & S_IROTH) != 0 ? "everybody on this machine may read it" : NULL;
}
