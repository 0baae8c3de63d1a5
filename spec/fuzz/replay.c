/* The main of a fuzz target where there is no libFuzzer: feeds it the files and folders that are named, each file once. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "input.h"

static size_t fed;

static void feed_file(const char *path) {
  FILE *const file = fopen(path, "rb");
  struct stat about;
  if (file == NULL || fstat(fileno(file), &about) != 0) {
    perror(path);
    exit(1);
  }
  const size_t size = (size_t)about.st_size;
  uint8_t *const data = malloc(size > 0 ? size : 1); /* exactly as large, so that a sanitizer sees a read beyond it */
  if (data == NULL || fread(data, 1, size, file) != size) {
    perror(path);
    exit(1);
  }
  fclose(file);
  fprintf(stderr, "%s\n", path); /* the last one named is the one that broke it */
  LLVMFuzzerTestOneInput(data, size);
  free(data);
  fed++;
}

static int is_visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static void feed(const char *path) {
  struct dirent **names = NULL;
  const int count = scandir(path, &names, is_visible, alphasort);
  if (count < 0) {
    feed_file(path);
    return;
  }
  for (int i = 0; i < count; i++) {
    char inside[4096];
    snprintf(inside, sizeof inside, "%s/%s", path, names[i]->d_name);
    feed_file(inside);
    free(names[i]);
  }
  free(names);
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) feed(argv[i]);
  fprintf(stderr, "%zu inputs\n", fed);
  if (fed > 0) return 0;
  fprintf(stderr, "usage: %s FILE|FOLDER…\n", argv[0]);
  return 2;
}
