/* A file system for SQLite that lives in memory and can fail: writes and syncs that return errors at a chosen moment, disks that are
 * full, and power cuts, after which of what was not synced some is there, some is gone and some is torn. After a failed sync what
 * it was to write is in the cache and never reaches the disk, as on Linux.                                                        */
#ifndef SPEC_FAULT_VFS_H
#define SPEC_FAULT_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULT_VFS "fault"

enum fault_kind {
  FAULT_NONE,
  FAULT_FULL,     /* the write writes nothing: SQLITE_FULL */
  FAULT_WRITE,    /* the write writes half: SQLITE_IOERR_WRITE */
  FAULT_SYNC,     /* the sync fails: SQLITE_IOERR_FSYNC */
  FAULT_DEAD,     /* from here on everything fails: the power is gone */
};

/* Registers it, once per process. */
void fault_vfs_install(void);
/* All files go; no faults. */
void fault_vfs_clear(uint64_t seed);
/* The `at`-th write (or sync, for FAULT_SYNC) from now on, and the `more` after it, fail like that; 1 is the next. */
void fault_vfs_plan(enum fault_kind kind, uint64_t at, uint64_t more);
/* Did the planned fault happen? */
bool fault_vfs_has_struck(void);
/* Writes and syncs so far, since the last clear. */
uint64_t fault_vfs_writes(void);
uint64_t fault_vfs_syncs(void);
/* The power comes back: the files are what the disk has. */
void fault_vfs_cut(void);
/* Replaces `count` bytes of a file at `offset`. */
void fault_vfs_spoil(const char *name, size_t offset, const void *bytes, size_t count);
void fault_vfs_truncate(const char *name, size_t size);

#endif
