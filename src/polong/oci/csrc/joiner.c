/* joiner [--join CGROUPDIR] [--hide MOUNT] [--reap PIDFILE] -- RUNTIME ARGUMENT...
 *
 * Runs an OCI runtime as the host needs it:
 *   --join  first puts the process into a leaf of the v2 cgroup tree, so that all that the runtime starts is born there and one write
 *           to the leaf's cgroup.kill ends it, also where the controllers are on v1 (hybrid).
 *   --hide  gives it a mount namespace of its own without MOUNT: crun refuses hybrid hosts while a controller sits on the v2 side, and
 *           takes them for plain v1 without it. The host's mounts stay as they are.
 *   --reap  stays: runs the runtime (`exec --detach --pid-file PIDFILE`) as a child, adopts the process that it leaves behind, and ends
 *           as that ends (128+n for signal n). Neither in the cgroup nor in the mount namespace itself. */
#include "raw.h"

enum { AT_CWD = -100, WRITE_ONLY = 1, CLOSE_ON_EXEC = 02000000, NEW_MOUNTS = 0x00020000, RECURSIVE = 16384, SLAVE = 1 << 19, DETACH = 2,
       NO_FOLLOW = 8, PATH_LIMIT = 4096, USAGE = 125, FAILED = 126, SUBREAPER = 36, CHILD_SIGNAL = 17 };

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

static void join(const char *directory)
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
    long fd = raw(NR_open_or_openat, AT_CWD, (long)path, WRITE_ONLY | CLOSE_ON_EXEC, 0, 0);
    if (fd < 0)
        fail("open", path, fd);
    long written = raw(NR_write, fd, (long)"0", 1, 0, 0);
    if (written < 0)
        fail("write to", path, written);
    raw(NR_close, fd, 0, 0, 0, 0);
}

static void hide(const char *mount)
{
    long result;
    if ((result = raw(NR_unshare, NEW_MOUNTS, 0, 0, 0, 0)) < 0)
        fail("unshare mounts of", "/", result);
    /* Slave, not private: unmounts of the host must still arrive, else a deleted image's mount would stay busy in here. */
    if ((result = raw(NR_mount, 0, (long)"/", 0, RECURSIVE | SLAVE, 0)) < 0)
        fail("make slave", "/", result);
    if ((result = raw(NR_umount2, (long)mount, DETACH | NO_FOLLOW, 0, 0, 0)) < 0)
        fail("unmount", mount, result);
}

static int status_code(int status)
{
    return status & 0x7f ? 128 + (status & 0x7f) : (status >> 8) & 0xff;
}

/* Only the child returns. */
static void reap(const char *file)
{
    char digits[16];
    int status = 0;
    long pid = 0, child;
    raw(NR_prctl, SUBREAPER, 1, 0, 0, 0);
    if ((child = raw(NR_clone, CHILD_SIGNAL, 0, 0, 0, 0)) < 0)
        fail("fork for", file, child);
    if (child == 0)
        return;
    /* By number: what the runtime leaves behind may have ended first, and is not to be taken for it. */
    if (raw(NR_wait4, child, (long)&status, 0, 0, 0) != child)
        leave(FAILED);
    if (status)
        leave(status_code(status));
    long fd = raw(NR_open_or_openat, AT_CWD, (long)file, CLOSE_ON_EXEC, 0, 0);
    if (fd < 0)
        fail("open", file, fd);
    long count = raw(NR_read, fd, (long)digits, sizeof digits, 0, 0);
    raw(NR_close, fd, 0, 0, 0, 0);
    for (long i = 0; i < count && digits[i] >= '0' && digits[i] <= '9'; i++)
        pid = pid * 10 + (digits[i] - '0');
    /* Standard streams belong to the process alone now: its end is the end of its output. */
    for (int number = 0; number < 3; number++)
        raw(NR_close, number, 0, 0, 0, 0);
    while ((child = raw(NR_wait4, -1, (long)&status, 0, 0, 0)) > 0)
        if (child == pid)
            leave(status_code(status));
    leave(FAILED);
}

__attribute__((noreturn, used)) void begin(long *stack)
{
    long count = stack[0], next = 1;
    char **arguments = (char **)(stack + 1), **environment = arguments + count + 1;
    const char *directory = 0, *mount = 0, *file = 0;
    for (; next + 1 < count && !same(arguments[next], "--"); next += 2) {
        const char *value = arguments[next + 1];
        if (same(arguments[next], "--join"))
            directory = value;
        else if (same(arguments[next], "--hide"))
            mount = value;
        else if (same(arguments[next], "--reap"))
            file = value;
        else
            break;
    }
    if (next + 1 >= count || !same(arguments[next], "--")) {
        say(2, "usage: joiner [--join CGROUPDIR] [--hide MOUNT] [--reap PIDFILE] -- RUNTIME ARGUMENT...\n");
        leave(USAGE);
    }
    if (file)
        reap(file);
    if (directory)
        join(directory);
    if (mount)
        hide(mount);
    char **command = arguments + next + 1;
    fail("execute", command[0], raw(NR_execve, (long)command[0], (long)command, (long)environment, 0, 0));
}
