/* joiner [--unified CGROUPDIR] -- RUNTIME ARGUMENT...
 *
 * Runs an OCI runtime on a host of hybrid cgroups. crun refuses such hosts while a controller sits on the v2 side; in a mount namespace
 * of its own, from which the v2 tree is unmounted, it sees plain v1. Before that the process puts itself into a leaf of the v2 tree,
 * so that all that the runtime starts is born there and one write to its cgroup.kill ends it. The host's mounts stay as they are. */
#include "raw.h"

enum { AT_FDCWD_ = -100, WRITE_ONLY = 1, CLOSE_ON_EXEC = 02000000, NEW_MOUNTS = 0x00020000, RECURSIVE = 16384, SLAVE = 1 << 19, DETACH = 2,
       NO_FOLLOW = 8, PATH_LIMIT = 4096, USAGE = 125, FAILED = 126 };

START;

__attribute__((noreturn)) static void fail(const char *what, const char *path, long error)
{
    char digits[8];
    int at = sizeof digits;
    digits[--at] = 0;
    for (error = -error; at > 0 && (error || at == sizeof digits - 1); error /= 10)
        digits[--at] = (char)('0' + error % 10);
    say(2, "joiner: cannot ");
    say(2, what);
    say(2, " ");
    say(2, path);
    say(2, ": errno ");
    say(2, digits + at);
    say(2, "\n");
    leave(FAILED);
}

static void enter(const char *directory)
{
    static const char file[] = "/cgroup.procs";
    char path[PATH_LIMIT];
    ulong_t head = length(directory);
    if (head + sizeof file > sizeof path)
        fail("use", directory, -36);
    for (ulong_t i = 0; i < head; i++)
        path[i] = directory[i];
    for (ulong_t i = 0; i < sizeof file; i++)
        path[head + i] = file[i];
    long fd = raw(NR_open_or_openat, AT_FDCWD_, (long)path, WRITE_ONLY | CLOSE_ON_EXEC, 0, 0);
    if (fd < 0)
        fail("open", path, fd);
    long written = raw(NR_write, fd, (long)"0", 1, 0, 0);
    if (written < 0)
        fail("write to", path, written);
    raw(NR_close, fd, 0, 0, 0, 0);
}

__attribute__((noreturn, used)) void begin(long *stack)
{
    long count = stack[0], next = 1, result;
    char **arguments = (char **)(stack + 1), **environment = arguments + count + 1;
    if (next + 1 < count && same(arguments[next], "--unified")) {
        enter(arguments[next + 1]);
        next += 2;
    }
    if (next + 1 >= count || !same(arguments[next], "--")) {
        say(2, "usage: joiner [--unified CGROUPDIR] -- RUNTIME ARGUMENT...\n");
        leave(USAGE);
    }
    if ((result = raw(NR_unshare, NEW_MOUNTS, 0, 0, 0, 0)) < 0)
        fail("unshare mounts of", "/", result);
    /* Slave, not private: unmounts of the host must still arrive, else a deleted image's mount would stay busy in here. */
    if ((result = raw(NR_mount, 0, (long)"/", 0, RECURSIVE | SLAVE, 0)) < 0)
        fail("make slave", "/", result);
    if ((result = raw(NR_umount2, (long)"/sys/fs/cgroup/unified", DETACH | NO_FOLLOW, 0, 0, 0)) < 0)
        fail("unmount", "/sys/fs/cgroup/unified", result);
    char **command = arguments + next + 1;
    result = raw(NR_execve, (long)command[0], (long)command, (long)environment, 0, 0);
    fail("execute", command[0], result);
}
