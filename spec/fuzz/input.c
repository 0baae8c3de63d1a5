#include "input.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"

uint8_t input_byte(struct input *input) {
  if (input->left == 0) return 0;
  input->left--;
  return (uint8_t)*input->at++;
}

char *input_piece(struct input *input, const char *separator, size_t *size) {
  if (input->left == 0) return NULL;
  const size_t width = strlen(separator);
  const char *const end = memmem(input->at, input->left, separator, width);
  *size = end != NULL ? (size_t)(end - input->at) : input->left;
  char *const piece = malloc(*size + 1);
  if (piece == NULL) abort();
  memcpy(piece, input->at, *size);
  piece[*size] = '\0';
  const size_t used = *size + (end != NULL ? width : 0);
  input->at += used;
  input->left -= used;
  return piece;
}

void input_must(bool is_true, const char *promise) {
  if (is_true) return;
  fprintf(stderr, "broken promise: %s\n", promise);
  abort();
}

const char *input_file(const void *data, size_t size) {
  static int fd = -1;
  static char path[40];
  if (fd < 0) fd = memfd_create("input", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size) abort();
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return path;
}

void input_quiet(void) { cox_log_setup(COX_LOG_INFO, false, open("/dev/null", O_WRONLY | O_CLOEXEC)); }
