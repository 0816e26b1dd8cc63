/* Notes how much of Redis' append-only file has reached the disk: the size that it had when its last completed
   fdatasync began, in the first eight bytes of a file. Preloaded, it takes the place of the C library's functions. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile int64_t *synced;

__attribute__((constructor)) static void prepare(void) {
  const char *path = getenv("BOOKWHEEL_CHAOS_SYNCED");
  int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (file >= 0) {
    void *found = mmap(NULL, sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) synced = found;
    close(file);
  }
}

static int is_append_only_file(int file) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, ".incr.aof") != NULL;
}

static int sync_and_note(int file, const char *name) {
  int (*true_sync)(int) = dlsym(RTLD_NEXT, name);
  struct stat before;
  int known = synced && is_append_only_file(file) && fstat(file, &before) == 0;
  int status = true_sync(file);
  if (status == 0 && known) *synced = before.st_size;
  return status;
}

int fdatasync(int file) { return sync_and_note(file, "fdatasync"); }

int fsync(int file) { return sync_and_note(file, "fsync"); }
