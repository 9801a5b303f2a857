// Stands between a program and the C library (LD_PRELOAD): counts the calls that change files below one folder, notes
// them down, and fails one. Python, NumPy, OpenCV and whatever else writes in the process come through here.

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

enum Mode { kNone, kNote, kFull, kBroken, kKilled };

struct Shared {  // by all processes that are forked from the first one
  std::atomic<long> calls;
};

Shared* shared = nullptr;
Mode mode = kNone;
long target = 0;
std::string root, notes;
thread_local bool inside = false;

template <typename F>
F real(F, const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}
#define REAL(name) static auto real_##name = real(&::name, #name)

std::string link_of(int fd) {
  char name[64], target_path[PATH_MAX];
  std::snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  const ssize_t length = syscall(SYS_readlink, name, target_path, sizeof target_path);
  return length < 0 ? "" : std::string(target_path, length);
}

std::string absolute(int folder, const char* path) {
  if (path == nullptr) return "";
  if (path[0] == '/') return path;
  char here[PATH_MAX];
  const std::string base = folder == AT_FDCWD ? (getcwd(here, sizeof here) ? here : "") : link_of(folder);
  return base + "/" + path;
}

bool is_ours(const std::string& path) {
  return path.compare(0, root.size(), root) == 0 && (path.size() == root.size() || path[root.size()] == '/');
}

// A call under way. `error` is what it must fail with, 0 if it may go on; half: a write gets half of its bytes through.
struct Call {
  const char* name;
  std::string path, other;
  long number = -1;
  int error = 0;
  bool half = false;

  Call(const char* name, bool needs_room, std::string path, std::string other = "")
      : name(name), path(std::move(path)), other(std::move(other)) {
    if (mode == kNone || inside || !(is_ours(this->path) || (!this->other.empty() && is_ours(this->other)))) return;
    number = shared->calls++;
    if (mode == kKilled && number == target) {
      raise(SIGKILL);
    } else if (mode == kBroken && number == target) {
      error = EIO;
    } else if (mode == kFull && (number == target || (number > target && needs_room))) {
      error = ENOSPC;  // a disk that is full stays so
      half = number == target && std::strcmp(name, "write") == 0;
    }
  }

  void note(bool done, const std::string& more = "") {
    if (number < 0 || mode != kNote) return;
    const int saved = errno;
    inside = true;
    const std::string line = std::to_string(number) + "\t" + name + "\t" + (done ? "1" : "0") + "\t" + path + "\t" +
                             other + "\t" + more + "\n";
    const std::string file = notes + "/calls";
    const int fd = syscall(SYS_openat, AT_FDCWD, file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    syscall(SYS_write, fd, line.data(), line.size());
    syscall(SYS_close, fd);
    inside = false;
    errno = saved;
  }

  // What is on the disk for sure from now on: a copy of the file.
  void keep() {
    if (number < 0 || mode != kNote) return;
    const int saved = errno;
    inside = true;
    const std::string copy = notes + "/" + std::to_string(number);
    const int from = syscall(SYS_openat, AT_FDCWD, path.c_str(), O_RDONLY, 0);
    struct stat about;
    if (from >= 0 && fstat(from, &about) == 0 && S_ISREG(about.st_mode)) {
      const int to = syscall(SYS_openat, AT_FDCWD, copy.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      static char block[1 << 16];
      for (ssize_t length; (length = syscall(SYS_read, from, block, sizeof block)) > 0;)
        syscall(SYS_write, to, block, length);
      syscall(SYS_close, to);
    }
    if (from >= 0) syscall(SYS_close, from);
    inside = false;
    errno = saved;
  }

  void keep_all() {
    if (number < 0 || mode != kNote) return;
    const int saved = errno;
    inside = true;
    const std::string command = "cp -a '" + root + "' '" + notes + "/" + std::to_string(number) + "'";
    if (std::system(command.c_str()) != 0) std::abort();
    inside = false;
    errno = saved;
  }

  template <typename R>
  R refused(R value) const {
    errno = error;
    return value;
  }
};

__attribute__((constructor)) void start() {
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  shared = new (page) Shared{};
}

int open_at(int folder, const char* path, int flags, mode_t permissions) {
  static auto real_openat = real(&::openat, "openat");
  const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
  Call call(writes ? "open" : "read", writes, absolute(folder, path));
  if (call.error) return call.refused(-1);
  const int made = real_openat(folder, path, flags, permissions);
  call.note(made >= 0, flags & O_TRUNC ? "truncated" : "");
  return made;
}

// The file that is mapped at an address.
std::string mapped_at(const void* address) {
  inside = true;
  std::FILE* maps = std::fopen("/proc/self/maps", "r");
  inside = false;
  std::string found;
  char line[PATH_MAX + 200], path[PATH_MAX];
  unsigned long first, last;
  while (maps && std::fgets(line, sizeof line, maps))
    if (std::sscanf(line, "%lx-%lx %*s %*s %*s %*s %[^\n]", &first, &last, path) == 3 &&
        first <= reinterpret_cast<unsigned long>(address) && reinterpret_cast<unsigned long>(address) < last)
      found = path;
  if (maps) std::fclose(maps);
  return found;
}

}  // namespace

extern "C" {

void faults_arm(const char* folder, const char* notes_folder, int how, long number) {
  root = folder;
  notes = notes_folder;
  target = number;
  shared->calls = 0;
  mode = static_cast<Mode>(how);
}

long faults_calls() { return shared->calls; }

#define OPENS(name)                                              \
  int name(const char* path, int flags, ...) {                   \
    va_list more;                                                \
    va_start(more, flags);                                       \
    const mode_t permissions = va_arg(more, int);                \
    va_end(more);                                                \
    return open_at(AT_FDCWD, path, flags, permissions);          \
  }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name)                                           \
  int name(int folder, const char* path, int flags, ...) {       \
    va_list more;                                                \
    va_start(more, flags);                                       \
    const mode_t permissions = va_arg(more, int);                \
    va_end(more);                                                \
    return open_at(folder, path, flags, permissions);            \
  }
OPENS_AT(openat)
OPENS_AT(openat64)

#define STREAMS(name)                                            \
  std::FILE* name(const char* path, const char* how) {           \
    REAL(name);                                                  \
    const bool writes = how[0] != 'r' || std::strchr(how, '+');  \
    Call call(writes ? "open" : "read", writes, absolute(AT_FDCWD, path)); \
    if (call.error) return call.refused(static_cast<std::FILE*>(nullptr)); \
    std::FILE* made = real_##name(path, how);                    \
    call.note(made != nullptr, how[0] == 'w' ? "truncated" : ""); \
    return made;                                                 \
  }
STREAMS(fopen)
STREAMS(fopen64)

size_t fwrite(const void* data, size_t size, size_t count, std::FILE* file) {
  REAL(fwrite);
  Call call("write", true, mode == kNone || inside ? "" : link_of(fileno(file)));
  if (call.error) return call.refused(size_t{0});
  const size_t done = real_fwrite(data, size, count, file);
  call.note(done == count);
  return done;
}

ssize_t write(int fd, const void* data, size_t length) {
  REAL(write);
  Call call("write", true, mode == kNone || inside ? "" : link_of(fd));
  if (call.half && length > 1) return real_write(fd, data, length / 2);
  if (call.error) return call.refused(ssize_t{-1});
  const ssize_t done = real_write(fd, data, length);
  call.note(done >= 0);
  return done;
}

#define WRITES_AT(name)                                                  \
  ssize_t name(int fd, const void* data, size_t length, off64_t where) { \
    REAL(name);                                                          \
    Call call("write", true, mode == kNone ? "" : link_of(fd));          \
    if (call.half && length > 1) return real_##name(fd, data, length / 2, where); \
    if (call.error) return call.refused(ssize_t{-1});                    \
    const ssize_t done = real_##name(fd, data, length, where);           \
    call.note(done >= 0);                                                \
    return done;                                                         \
  }
WRITES_AT(pwrite)
WRITES_AT(pwrite64)

#define SENDS(name)                                                      \
  ssize_t name(int to, int from, off64_t* where, size_t count) {         \
    REAL(name);                                                          \
    Call call("write", true, mode == kNone ? "" : link_of(to));          \
    if (call.error) return call.refused(ssize_t{-1});                    \
    const ssize_t done = real_##name(to, from, where, count);            \
    call.note(done >= 0);                                                \
    return done;                                                         \
  }
SENDS(sendfile)
SENDS(sendfile64)

#define SYNCS(name)                                                      \
  int name(int fd) {                                                     \
    REAL(name);                                                          \
    Call call("sync", false, mode == kNone ? "" : link_of(fd));          \
    if (call.error) return call.refused(-1);                             \
    const int done = real_##name(fd);                                    \
    call.keep();                                                         \
    call.note(done == 0);                                                \
    return done;                                                         \
  }
SYNCS(fsync)
SYNCS(fdatasync)

int msync(void* address, size_t length, int flags) {
  REAL(msync);
  Call call("sync", false, mode == kNone ? "" : mapped_at(address));
  if (call.error) return call.refused(-1);
  const int done = real_msync(address, length, flags);
  call.keep();
  call.note(done == 0);
  return done;
}

int syncfs(int fd) {
  REAL(syncfs);
  Call call("syncfs", false, mode == kNone ? "" : link_of(fd));
  if (call.error) return call.refused(-1);
  const int done = real_syncfs(fd);
  call.keep_all();
  call.note(done == 0);
  return done;
}

#define SIZES(name)                                                      \
  int name(int fd, off64_t size) {                                       \
    REAL(name);                                                          \
    Call call("resize", true, mode == kNone ? "" : link_of(fd));         \
    if (call.error) return call.refused(-1);                             \
    const int done = real_##name(fd, size);                              \
    call.note(done == 0);                                                \
    return done;                                                         \
  }
SIZES(ftruncate)
SIZES(ftruncate64)

#define ALLOCATES(name)                                                  \
  int name(int fd, off64_t start, off64_t size) {                        \
    REAL(name);                                                          \
    Call call("resize", true, mode == kNone ? "" : link_of(fd));         \
    if (call.error) return call.error;                                   \
    const int done = real_##name(fd, start, size);                       \
    call.note(done == 0);                                                \
    return done;                                                         \
  }
ALLOCATES(posix_fallocate)
ALLOCATES(posix_fallocate64)

int rename(const char* from, const char* to) {
  REAL(rename);
  Call call("rename", false, absolute(AT_FDCWD, from), absolute(AT_FDCWD, to));
  if (call.error) return call.refused(-1);
  const int done = real_rename(from, to);
  call.note(done == 0);
  return done;
}

int renameat(int folder, const char* from, int other, const char* to) {
  REAL(renameat);
  Call call("rename", false, absolute(folder, from), absolute(other, to));
  if (call.error) return call.refused(-1);
  const int done = real_renameat(folder, from, other, to);
  call.note(done == 0);
  return done;
}

int renameat2(int folder, const char* from, int other, const char* to, unsigned int flags) {
  REAL(renameat2);
  Call call(flags == RENAME_EXCHANGE ? "exchange" : "rename", false, absolute(folder, from), absolute(other, to));
  if (call.error) return call.refused(-1);
  const int done = real_renameat2(folder, from, other, to, flags);
  call.note(done == 0);
  return done;
}

int mkdir(const char* path, mode_t permissions) {
  REAL(mkdir);
  Call call("mkdir", true, absolute(AT_FDCWD, path));
  if (call.error) return call.refused(-1);
  const int done = real_mkdir(path, permissions);
  call.note(done == 0);
  return done;
}

int unlink(const char* path) {
  REAL(unlink);
  Call call("unlink", false, absolute(AT_FDCWD, path));
  if (call.error) return call.refused(-1);
  const int done = real_unlink(path);
  call.note(done == 0);
  return done;
}

int unlinkat(int folder, const char* path, int flags) {
  REAL(unlinkat);
  Call call("unlink", false, absolute(folder, path));
  if (call.error) return call.refused(-1);
  const int done = real_unlinkat(folder, path, flags);
  call.note(done == 0);
  return done;
}

int rmdir(const char* path) {
  REAL(rmdir);
  Call call("unlink", false, absolute(AT_FDCWD, path));
  if (call.error) return call.refused(-1);
  const int done = real_rmdir(path);
  call.note(done == 0);
  return done;
}
}
