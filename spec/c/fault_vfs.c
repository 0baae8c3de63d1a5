#include "fault_vfs.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/rng.h"

enum { FILES = 16, SECTOR = 512 };

/* A write that is not on the disk yet; `bytes` NULL: the file gets that size. */
struct op {
  struct op *next;
  size_t offset, count;
  unsigned char *bytes;
};

struct image {
  unsigned char *bytes;
  size_t size, capacity;
};

struct inode {
  char name[256]; /* "": free */
  unsigned handles;
  bool goes_on_close;
  struct image cache, disk;
  struct op *first, *last;
};

struct handle {
  sqlite3_file base;
  struct inode *inode;
};

static struct {
  struct cox_mutex mutex; /* guards the rest */
  struct inode inodes[FILES];
  struct cox_rng rng;
  enum fault_kind kind;
  uint64_t at, more; /* counted down */
  bool has_struck;
  uint64_t writes, syncs, temporary;
} disk;

/* ---- images ---- */

static void resize(struct image *image, size_t size) {
  if (size > image->capacity) {
    image->capacity = size * 2;
    image->bytes = realloc(image->bytes, image->capacity);
    assert(image->bytes != NULL);
  }
  if (size > image->size) memset(image->bytes + image->size, 0, size - image->size);
  image->size = size;
}

static void put(struct image *image, size_t offset, const void *bytes, size_t count) {
  if (offset + count > image->size) resize(image, offset + count);
  memcpy(image->bytes + offset, bytes, count);
}

static void copy(struct image *to, const struct image *from) {
  resize(to, from->size);
  if (from->size > 0) memcpy(to->bytes, from->bytes, from->size);
}

static void drop_ops(struct inode *inode) {
  while (inode->first != NULL) {
    struct op *const next = inode->first->next;
    free(inode->first->bytes);
    free(inode->first);
    inode->first = next;
  }
  inode->last = NULL;
}

static void add_op(struct inode *inode, size_t offset, const void *bytes, size_t count) {
  struct op *const op = calloc(1, sizeof *op);
  assert(op != NULL);
  op->offset = offset;
  op->count = count;
  if (bytes != NULL) {
    op->bytes = malloc(count);
    assert(op->bytes != NULL);
    memcpy(op->bytes, bytes, count);
  }
  if (inode->last != NULL) inode->last->next = op;
  else inode->first = op;
  inode->last = op;
}

static void apply(struct image *image, const struct op *op) {
  if (op->bytes != NULL) put(image, op->offset, op->bytes, op->count);
  else resize(image, op->offset);
}

/* Of each sector of the write, it is there or not. */
static void apply_torn(struct image *image, const struct op *op) {
  for (size_t done = 0; op->bytes != NULL && done < op->count; done += SECTOR) {
    const size_t part = op->count - done < SECTOR ? op->count - done : SECTOR;
    if (cox_rng_below(&disk.rng, 2) == 0) put(image, op->offset + done, op->bytes + done, part);
  }
}

/* ---- faults ---- */

/* Is this the one that fails? */
static bool strikes(bool is_sync) {
  if (disk.kind == FAULT_DEAD && disk.has_struck) return true;
  if (disk.kind == FAULT_NONE || (disk.kind != FAULT_DEAD && (disk.kind == FAULT_SYNC) != is_sync)) return false;
  if (disk.at > 1) {
    disk.at--;
    return false;
  }
  if (disk.has_struck && disk.more == 0) return false;
  if (disk.has_struck) disk.more--;
  disk.has_struck = true;
  return true;
}

static bool is_dead(void) { return disk.kind == FAULT_DEAD && disk.has_struck; }

/* ---- files ---- */

static struct inode *inode_of(sqlite3_file *file) { return ((struct handle *)(void *)file)->inode; }

static int file_close(sqlite3_file *file) {
  cox_mutex_lock(&disk.mutex);
  struct inode *const inode = inode_of(file);
  if (--inode->handles == 0 && inode->goes_on_close) {
    drop_ops(inode);
    inode->name[0] = '\0';
  }
  cox_mutex_unlock(&disk.mutex);
  return SQLITE_OK;
}

static int file_read(sqlite3_file *file, void *out, int count, sqlite3_int64 offset) {
  cox_mutex_lock(&disk.mutex);
  const struct image *const image = &inode_of(file)->cache;
  const size_t from = (size_t)offset, wanted = (size_t)count;
  const size_t there = from >= image->size ? 0 : image->size - from < wanted ? image->size - from : wanted;
  if (there > 0) memcpy(out, image->bytes + from, there);
  memset((char *)out + there, 0, wanted - there);
  const int rc = is_dead() ? SQLITE_IOERR_READ : there < wanted ? SQLITE_IOERR_SHORT_READ : SQLITE_OK;
  cox_mutex_unlock(&disk.mutex);
  return rc;
}

static int file_write(sqlite3_file *file, const void *bytes, int count, sqlite3_int64 offset) {
  int rc = SQLITE_OK;
  size_t written = (size_t)count;
  cox_mutex_lock(&disk.mutex);
  struct inode *const inode = inode_of(file);
  disk.writes++;
  if (strikes(false)) {
    rc = disk.kind == FAULT_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    written = disk.kind == FAULT_WRITE ? written / 2 : 0;
  }
  if (written > 0) {
    put(&inode->cache, (size_t)offset, bytes, written);
    add_op(inode, (size_t)offset, bytes, written);
  }
  cox_mutex_unlock(&disk.mutex);
  return rc;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size) {
  cox_mutex_lock(&disk.mutex);
  struct inode *const inode = inode_of(file);
  const int rc = is_dead() ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
  if (rc == SQLITE_OK) {
    resize(&inode->cache, (size_t)size);
    add_op(inode, (size_t)size, NULL, 0);
  }
  cox_mutex_unlock(&disk.mutex);
  return rc;
}

static int file_sync(sqlite3_file *file, int flags) {
  (void)flags;
  cox_mutex_lock(&disk.mutex);
  struct inode *const inode = inode_of(file);
  disk.syncs++;
  const bool fails = strikes(true);
  for (const struct op *op = inode->first; op != NULL && !fails; op = op->next) apply(&inode->disk, op);
  if (!is_dead()) drop_ops(inode); /* a failed sync is not tried again: the pages count as written */
  cox_mutex_unlock(&disk.mutex);
  return fails ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size) {
  cox_mutex_lock(&disk.mutex);
  *size = (sqlite3_int64)inode_of(file)->cache.size;
  cox_mutex_unlock(&disk.mutex);
  return SQLITE_OK;
}

static int file_lock(sqlite3_file *file, int level) {
  (void)file;
  (void)level;
  return SQLITE_OK;
}

static int file_reserved(sqlite3_file *file, int *out) {
  (void)file;
  *out = 0;
  return SQLITE_OK;
}

static int file_control(sqlite3_file *file, int op, void *arg) {
  (void)file;
  (void)op;
  (void)arg;
  return SQLITE_NOTFOUND;
}

static int sector_size(sqlite3_file *file) {
  (void)file;
  return 4096;
}

/* As SQLite takes it of the machine's own: a write that is torn harms nothing outside of it. */
static int characteristics(sqlite3_file *file) {
  (void)file;
  return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_lock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
};

/* ---- names ---- */

static struct inode *find(const char *name) {
  for (int i = 0; i < FILES; i++) {
    if (disk.inodes[i].name[0] != '\0' && strcmp(disk.inodes[i].name, name) == 0) return &disk.inodes[i];
  }
  return NULL;
}

static struct inode *make(const char *name) {
  for (int i = 0; i < FILES; i++) {
    struct inode *const inode = &disk.inodes[i];
    if (inode->name[0] != '\0' || inode->handles > 0) continue;
    snprintf(inode->name, sizeof inode->name, "%s", name);
    inode->goes_on_close = false;
    inode->cache.size = inode->disk.size = 0;
    return inode;
  }
  return NULL;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags) {
  (void)vfs;
  struct handle *const handle = (struct handle *)(void *)file;
  char own[32];
  handle->base.pMethods = NULL;
  cox_mutex_lock(&disk.mutex);
  if (name == NULL) snprintf(own, sizeof own, "temporary-%llu", (unsigned long long)++disk.temporary);
  struct inode *inode = name != NULL ? find(name) : NULL;
  if (inode == NULL && (flags & SQLITE_OPEN_CREATE) != 0 && !is_dead()) inode = make(name != NULL ? name : own);
  if (inode != NULL) {
    inode->handles++;
    inode->goes_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
    handle->inode = inode;
    handle->base.pMethods = &methods;
  }
  cox_mutex_unlock(&disk.mutex);
  if (out_flags != NULL) *out_flags = flags;
  return inode != NULL ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int with_sync) {
  (void)vfs;
  (void)with_sync;
  cox_mutex_lock(&disk.mutex);
  struct inode *const inode = find(name);
  const int rc = is_dead() ? SQLITE_IOERR_DELETE : inode != NULL ? SQLITE_OK : SQLITE_IOERR_DELETE_NOENT;
  if (rc == SQLITE_OK) {
    drop_ops(inode);
    inode->name[0] = '\0';
  }
  cox_mutex_unlock(&disk.mutex);
  return rc;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out) {
  (void)vfs;
  (void)flags;
  cox_mutex_lock(&disk.mutex);
  const struct inode *const inode = find(name);
  *out = inode != NULL && (flags != SQLITE_ACCESS_EXISTS || inode->cache.size > 0);
  cox_mutex_unlock(&disk.mutex);
  return SQLITE_OK;
}

static int vfs_full_name(sqlite3_vfs *vfs, const char *name, int size, char *out) {
  (void)vfs;
  snprintf(out, (size_t)size, "%s", name);
  return SQLITE_OK;
}

static int vfs_randomness(sqlite3_vfs *vfs, int count, char *out) {
  (void)vfs;
  for (int i = 0; i < count; i++) out[i] = (char)cox_rng_below(&disk.rng, 256);
  return count;
}

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds) {
  (void)vfs;
  return microseconds;
}

static int vfs_time(sqlite3_vfs *vfs, double *out) {
  (void)vfs;
  *out = 2460000.5;
  return SQLITE_OK;
}

void fault_vfs_install(void) {
  static sqlite3_vfs vfs = {
      .iVersion = 1,
      .szOsFile = sizeof(struct handle),
      .mxPathname = 255,
      .zName = FAULT_VFS,
      .xOpen = vfs_open,
      .xDelete = vfs_delete,
      .xAccess = vfs_access,
      .xFullPathname = vfs_full_name,
      .xRandomness = vfs_randomness,
      .xSleep = vfs_sleep,
      .xCurrentTime = vfs_time,
  };
  static bool is_installed;
  if (is_installed) return;
  is_installed = true;
  cox_mutex_init(&disk.mutex);
  sqlite3_vfs_register(&vfs, 0);
}

void fault_vfs_clear(uint64_t seed) {
  cox_mutex_lock(&disk.mutex);
  for (int i = 0; i < FILES; i++) {
    struct inode *const inode = &disk.inodes[i];
    assert(inode->handles == 0);
    drop_ops(inode);
    free(inode->cache.bytes);
    free(inode->disk.bytes);
    *inode = (struct inode){0};
  }
  cox_rng_init(&disk.rng, seed);
  disk.kind = FAULT_NONE;
  disk.has_struck = false;
  disk.writes = disk.syncs = 0;
  cox_mutex_unlock(&disk.mutex);
}

void fault_vfs_plan(enum fault_kind kind, uint64_t at, uint64_t more) {
  cox_mutex_lock(&disk.mutex);
  disk.kind = kind;
  disk.at = at;
  disk.more = more;
  disk.has_struck = false;
  cox_mutex_unlock(&disk.mutex);
}

bool fault_vfs_has_struck(void) {
  cox_mutex_lock(&disk.mutex);
  const bool has_struck = disk.has_struck;
  cox_mutex_unlock(&disk.mutex);
  return has_struck;
}

uint64_t fault_vfs_writes(void) {
  cox_mutex_lock(&disk.mutex);
  const uint64_t writes = disk.writes;
  cox_mutex_unlock(&disk.mutex);
  return writes;
}

uint64_t fault_vfs_syncs(void) {
  cox_mutex_lock(&disk.mutex);
  const uint64_t syncs = disk.syncs;
  cox_mutex_unlock(&disk.mutex);
  return syncs;
}

void fault_vfs_cut(void) {
  cox_mutex_lock(&disk.mutex);
  for (int i = 0; i < FILES; i++) {
    struct inode *const inode = &disk.inodes[i];
    for (const struct op *op = inode->first; op != NULL; op = op->next) {
      switch (cox_rng_below(&disk.rng, 4)) {
        case 0: break; /* gone */
        case 1: apply_torn(&inode->disk, op); break;
        default: apply(&inode->disk, op); break;
      }
    }
    drop_ops(inode);
    copy(&inode->cache, &inode->disk);
  }
  disk.kind = FAULT_NONE;
  disk.has_struck = false;
  cox_mutex_unlock(&disk.mutex);
}

void fault_vfs_spoil(const char *name, size_t offset, const void *bytes, size_t count) {
  cox_mutex_lock(&disk.mutex);
  struct inode *const inode = find(name);
  assert(inode != NULL);
  put(&inode->cache, offset, bytes, count);
  put(&inode->disk, offset, bytes, count);
  cox_mutex_unlock(&disk.mutex);
}

void fault_vfs_truncate(const char *name, size_t size) {
  cox_mutex_lock(&disk.mutex);
  struct inode *const inode = find(name);
  assert(inode != NULL);
  resize(&inode->cache, size);
  resize(&inode->disk, size);
  cox_mutex_unlock(&disk.mutex);
}
