/* joiner [--join CGROUPDIR] [--task CGROUPDIR]... [--hide MOUNT] [--reap PIDFILE] [--pass FD]... -- RUNTIME ARGUMENT...
 *
 * Runs an OCI runtime as the host needs it:
 *   --join  starts it in a leaf of the v2 cgroup tree, so that all that it starts is born there and one write to the leaf's cgroup.kill
 *           ends it, also where the controllers are on v1 (hybrid). By clone3(2): moving a process costs an RCU grace period, 10 ms.
 *   --task  the same for a v1 hierarchy; once for each. A thread that moves itself alone (0 into "tasks") costs no grace period.
 *   --hide  gives it a mount namespace of its own without MOUNT: crun refuses hybrid hosts while a controller sits on the v2 side, and
 *           takes them for plain v1 without it. The host's mounts stay as they are.
 *   --reap  after the runtime (`exec --detach --pid-file PIDFILE`) adopts the process that it leaves behind, and ends as that ends
 *           (128+n for signal n).
 *   --pass  hands the runtime that open descriptor; those so named become 3, 4, … in the order given, as `--preserve-fds` wants them.
 * With --join, --task or --reap the runtime is a child, and joiner itself is neither in the cgroups nor in the mount namespace. */
#include "raw.h"

enum { AT_CWD = -100, CLOSE_ON_EXEC = 02000000, NEW_MOUNTS = 0x00020000, RECURSIVE = 16384, SLAVE = 1 << 19, DETACH = 2, DUPLICATE = 0, FIRST_FD = 3, ABOVE = 512,
       NO_FOLLOW = 8, USAGE = 125, FAILED = 126, SUBREAPER = 36, CHILD_SIGNAL = 17, NO_HANG = 1, WRITE_ONLY = 1, PATH_LIMIT = 4096 };
#define INTO_CGROUP 0x200000000ULL

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

/* struct clone_args of clone3(2), as of Linux 5.7. */
struct clone_arguments {
    unsigned long long flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

/* As fork(2); the child is born in the cgroup `directory`, where there is one. */
static long born_in(const char *directory)
{
    struct clone_arguments arguments = {.exit_signal = CHILD_SIGNAL};
    if (directory) {
        long fd = raw(NR_open_or_openat, AT_CWD, (long)directory, CLOSE_ON_EXEC, 0, 0);
        if (fd < 0)
            fail("open", directory, fd);
        arguments.flags = INTO_CGROUP;
        arguments.cgroup = (unsigned long long)fd;
    }
    long child = raw(NR_clone3, (long)&arguments, sizeof arguments, 0, 0, 0);
    if (child < 0)
        fail("start a process in", directory ? directory : "/", child);
    return child;
}

static void hide(const char *mount)
{
    long result;
    if ((result = raw(NR_unshare, NEW_MOUNTS, 0, 0, 0, 0)) < 0)
        fail("unshare mounts of", "/", result);
    /* Only what MOUNT hangs on stops telling the host what happens in here: mounts of volumes with Bidirectional propagation must get out,
     * and unmounts of the host in, else a deleted image's mount would stay busy. Where that is no mount by itself, all stop telling. */
    char parent[PATH_LIMIT];
    ulong_t end = length(mount);
    while (end && mount[end - 1] != '/')
        end--;
    if (end < 2 || end > sizeof parent)
        fail("use", mount, -22);
    for (ulong_t i = 0; i < end - 1; i++)
        parent[i] = mount[i];
    parent[end - 1] = 0;
    if (raw(NR_mount, 0, (long)parent, 0, SLAVE, 0) < 0 && (result = raw(NR_mount, 0, (long)"/", 0, RECURSIVE | SLAVE, 0)) < 0)
        fail("make slave", "/", result);
    if ((result = raw(NR_umount2, (long)mount, DETACH | NO_FOLLOW, 0, 0, 0)) < 0)
        fail("unmount", mount, result);
}

static void move_into(const char *directory)
{
    static const char file[] = "/tasks";
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

static long number_of(const char *text)
{
    long number = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        number = number * 10 + (*text - '0');
    return number;
}

/* Out of the way first: a number that is wanted may be another's that is still to be moved. */
static void pass(char **arguments, long count)
{
    long passed = 0, moved;
    for (long i = 1; i < count; i += 2)
        if (same(arguments[i], "--pass")) {
            long given = number_of(arguments[i + 1]);
            if ((moved = raw(NR_fcntl, given, DUPLICATE, ABOVE + passed, 0, 0)) != ABOVE + passed)
                fail("pass descriptor", arguments[i + 1], moved < 0 ? moved : -16);
            raw(NR_close, given, 0, 0, 0, 0);
            passed++;
        }
    for (long i = 0; i < passed; i++) {
        if ((moved = raw(NR_dup3, ABOVE + i, FIRST_FD + i, 0, 0, 0)) < 0)
            fail("pass descriptor", "", moved);
        raw(NR_close, ABOVE + i, 0, 0, 0, 0);
    }
}

static int status_code(int status)
{
    return status & 0x7f ? 128 + (status & 0x7f) : (status >> 8) & 0xff;
}

/* A runtime that failed may leave a dying child in the container's PID namespace; until that is reaped the namespace cannot end, and the
 * host's init, which would inherit it, may take its time. Give it a second. */
static void bury(void)
{
    long pause[2] = {0, 1000000};
    for (int turn = 0; turn < 1000; turn++) {
        long child = raw(NR_wait4, -1, 0, NO_HANG, 0, 0);
        if (child < 0)
            return;
        if (child == 0)
            raw(NR_pause_or_ppoll, 0, 0, (long)pause, 0, 8);
        pause[0] = 0;
        pause[1] = 1000000;
    }
}

/* Wait for the process whose number the runtime wrote to `file`, and end as it ends. */
__attribute__((noreturn)) static void stand_in(const char *file)
{
    char digits[16];
    int status = 0;
    long pid = 0, child;
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

/* Start the runtime as a child; only that returns. */
static void part(const char *directory, const char *file)
{
    int status = 0;
    if (file)
        raw(NR_prctl, SUBREAPER, 1, 0, 0, 0);
    long child = born_in(directory);
    if (child == 0)
        return;
    /* By number: what the runtime leaves behind may have ended first, and is not to be taken for it. */
    if (raw(NR_wait4, child, (long)&status, 0, 0, 0) != child)
        leave(FAILED);
    if (file && !status)
        stand_in(file);
    if (file)
        bury();
    leave(status_code(status));
}

__attribute__((noreturn, used)) void begin(long *stack)
{
    long count = stack[0], next = 1;
    char **arguments = (char **)(stack + 1), **environment = arguments + count + 1;
    const char *directory = 0, *mount = 0, *file = 0;
    int tasks = 0;
    for (; next + 1 < count && !same(arguments[next], "--"); next += 2) {
        const char *value = arguments[next + 1];
        if (same(arguments[next], "--join"))
            directory = value;
        else if (same(arguments[next], "--task"))
            tasks = 1;
        else if (same(arguments[next], "--hide"))
            mount = value;
        else if (same(arguments[next], "--reap"))
            file = value;
        else if (!same(arguments[next], "--pass"))
            break;
    }
    if (next + 1 >= count || !same(arguments[next], "--")) {
        say(2, "usage: joiner [--join CGROUPDIR] [--task CGROUPDIR]... [--hide MOUNT] [--reap PIDFILE] [--pass FD]... -- RUNTIME ARGUMENT...\n");
        leave(USAGE);
    }
    if (directory || tasks || file)
        part(directory, file);
    for (long i = 1; i < next; i += 2)
        if (same(arguments[i], "--task"))
            move_into(arguments[i + 1]);
    if (mount)
        hide(mount);
    pass(arguments, next);
    char **command = arguments + next + 1;
    fail("execute", command[0], raw(NR_execve, (long)command[0], (long)command, (long)environment, 0, 0));
}
