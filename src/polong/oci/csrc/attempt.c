/* attempt UIDS GIDS GROUPS PERMITTED EFFECTIVE BECOME...
 *
 * Tries, as a process of a container, what the kernel lets it do to other processes, and does nothing to them: every call ends after
 * the kernel has judged and before it has acted. Executed from memory inside of the container (docs/decisions/0016-…); descriptors
 * 4, 5, … are pidfds of the processes to try it on, one for each BECOME.
 *
 *   UIDS, GIDS   real,effective,saved; GROUPS a list; PERMITTED, EFFECTIVE capabilities as two hexadecimal words each, low,high: what the
 *                container's main process has now, which may be less than what it was started with
 *   BECOME       "-", or "UID:GID": try once more as that user, taken with the caller's own CAP_SETUID and CAP_SETGID
 *
 * Answers a line for each: PID as /proc here numbers it (0: not in this namespace, -1: it has ended), then a word of six letters
 * for see, signal, environ, root, cwd, ptrace (1 allowed, 0 refused, ? not to be tried), and such a word or "-" for BECOME.
 * Ends with 3 where it cannot take the caller's credentials.
 *
 *   see      look up /proc/PID/stat                       environ  open /proc/PID/environ, and read nothing
 *   signal   kill(PID, 0)                                 root     readlink /proc/PID/root; cwd the same
 *   ptrace   process_vm_readv(2) of an address that nobody has: EFAULT says that the kernel would have let it (its check is
 *            PTRACE_MODE_ATTACH_REALCREDS, as of PTRACE_SEIZE); where a filter refuses that call, pidfd_getfd(2) of a descriptor
 *            that nobody has. That ptrace(2) itself passes the filter is tried on no process at all. */
#include "raw.h"

enum { AT_CWD = -100, CLOSE_ON_EXEC = 02000000, PATH_ONLY = 010000000, KEEP_CAPABILITIES = 8, CHILD_SIGNAL = 17, CONTINUE = 7,
       FIRST_PIDFD = 4, NOBODYS_FD = 0x7ffffff0, MOST_GROUPS = 64, VERSION_3 = 0x20080522,
       NO_PERMISSION = -1, NO_PROCESS = -3, NO_ENTRY = -2, BAD_FD = -9, NO_ACCESS = -13, BAD_ADDRESS = -14 };

START;

static char text[4096];
/* Which calls the seccomp filter lets through. */
static int calls;
enum { KILL = 1, PTRACE = 2, READV = 4, GETFD = 8 };

static char *number_to(char *at, long value)
{
    char digits[24];
    int count = 0;
    if (value < 0) {
        *at++ = '-';
        value = -value;
    }
    do
        digits[count++] = (char)('0' + value % 10);
    while (value /= 10);
    while (count)
        *at++ = digits[--count];
    return at;
}

static char *copy_to(char *at, const char *from)
{
    while (*from)
        *at++ = *from++;
    return at;
}

static const char *number_from(const char *at, unsigned int base, unsigned int *value)
{
    *value = 0;
    for (;; at++) {
        unsigned int digit = *at >= '0' && *at <= '9' ? (unsigned int)(*at - '0') : *at >= 'a' && *at <= 'f' ? (unsigned int)(*at - 'a' + 10) : 99;
        if (digit >= base)
            return at;
        *value = *value * base + digit;
    }
}

static int list_from(const char *at, unsigned int base, unsigned int *values, int most)
{
    int count = 0;
    while (*at && count < most) {
        at = number_from(at, base, &values[count++]);
        if (*at)
            at++;
    }
    return count;
}

static const char *file_of(long pid, const char *name)
{
    static char path[64];
    char *at = number_to(copy_to(path, "/proc/"), pid);
    *copy_to(copy_to(at, "/"), name) = 0;
    return path;
}

/* The PID that /proc here has for a pidfd. */
static long pid_of(int fd)
{
    static char path[64];
    *number_to(copy_to(path, "/proc/self/fdinfo/"), fd) = 0;
    long file = raw(NR_open_or_openat, AT_CWD, (long)path, CLOSE_ON_EXEC, 0, 0);
    if (file < 0)
        return -1;
    long count = raw(NR_read, file, (long)text, sizeof text - 1, 0, 0);
    raw(NR_close, file, 0, 0, 0, 0);
    text[count > 0 ? count : 0] = 0;
    for (char *at = text; *at; at++)
        if ((at == text || at[-1] == '\n') && at[0] == 'P' && at[1] == 'i' && at[2] == 'd' && at[3] == ':') {
            unsigned int value;
            for (at += 4; *at == ' ' || *at == '\t'; at++)
                ;
            if (*at == '-')
                return -1;
            number_from(at, 10, &value);
            return value;
        }
    return -1;
}

static char judged(long result)
{
    return result >= 0 ? '1' : result == NO_PROCESS ? '?' : '0';
}

static char openable(long pid, const char *name, long flags)
{
    long fd = raw(NR_open_or_openat, AT_CWD, (long)file_of(pid, name), CLOSE_ON_EXEC | flags, 0, 0);
    if (fd >= 0)
        raw(NR_close, fd, 0, 0, 0, 0);
    return judged(fd);
}

static char followable(long pid, const char *name)
{
    return judged(raw(NR_readlinkat, AT_CWD, (long)file_of(pid, name), (long)text, sizeof text, 0));
}

static long read_nothing(long pid)
{
    char here;
    ulong_t local[2] = {(ulong_t)&here, 1}, remote[2] = {1, 1};
    return raw6(NR_process_vm_readv, pid, (long)local, 1, (long)remote, 1, 0);
}

static char traceable(long pid, int fd)
{
    if (!(calls & PTRACE))
        return '0';
    if (calls & READV) {
        long result = read_nothing(pid);
        return result == BAD_ADDRESS || result >= 0 ? '1' : result == NO_PERMISSION ? '0' : '?';
    }
    if (calls & GETFD) {
        long result = raw(NR_pidfd_getfd, fd, NOBODYS_FD, 0, 0, 0);
        return result == BAD_FD ? '1' : result == NO_PERMISSION ? '0' : '?';
    }
    return '?';
}

/* Six letters; those of a process that is not in this namespace are all refusals. */
static char *attempt(char *at, long pid, int fd)
{
    if (pid <= 0)
        return copy_to(at, pid ? "??????" : "000000");
    *at++ = openable(pid, "stat", PATH_ONLY);
    *at++ = calls & KILL ? judged(raw(NR_kill, pid, 0, 0, 0, 0)) : '0';
    *at++ = openable(pid, "environ", 0);
    *at++ = followable(pid, "root");
    *at++ = followable(pid, "cwd");
    *at++ = traceable(pid, fd);
    return at;
}

/* A child, so that a filter that kills does not kill us; 0 in the child. */
static long split(void)
{
    return raw(NR_clone, CHILD_SIGNAL, 0, 0, 0, 0);
}

static int ended_well(long child)
{
    int status = -1;
    while (raw(NR_wait4, child, (long)&status, 0, 0, 0) == -4)
        ;
    return status == 0;
}

static int goes_through(int call)
{
    long child = split(), self, result;
    if (child > 0)
        return ended_well(child) ? call : 0;
    if (child < 0)
        return call;
    self = raw(NR_getpid, 0, 0, 0, 0, 0);
    switch (call) {
    case KILL:
        leave(raw(NR_kill, self, 0, 0, 0, 0) != 0);
    case PTRACE:
        leave(raw(NR_ptrace, CONTINUE, 0, 0, 0, 0) != NO_PROCESS);
    case READV:
        leave(read_nothing(self) != BAD_ADDRESS);
    default:
        result = raw(NR_pidfd_open, self, 0, 0, 0, 0);
        leave(result < 0 || raw(NR_pidfd_getfd, result, NOBODYS_FD, 0, 0, 0) != BAD_FD);
    }
}

struct capabilities {
    unsigned int effective, permitted, inheritable;
};

static long set_capabilities(const unsigned int *permitted, const unsigned int *effective)
{
    unsigned int header[2] = {VERSION_3, 0};
    struct capabilities data[2] = {{0, 0, 0}, {0, 0, 0}};
    raw(NR_capget, (long)header, (long)data, 0, 0, 0);
    if (data[0].permitted == permitted[0] && data[1].permitted == permitted[1] && data[0].effective == effective[0]
        && data[1].effective == effective[1])
        return 0;
    for (int i = 0; i < 2; i++) {
        data[i].permitted = permitted[i];
        data[i].effective = effective[i];
        data[i].inheritable &= permitted[i];
    }
    return raw(NR_capset, (long)header, (long)data, 0, 0, 0);
}

static int differ(const unsigned int *a, const unsigned int *b, int count)
{
    for (int i = 0; i < count; i++)
        if (a[i] != b[i])
            return 1;
    return 0;
}

static long take_ids(const unsigned int *uids, const unsigned int *gids)
{
    unsigned int now[3];
    long result = 0;
    raw(NR_getresgid, (long)&now[0], (long)&now[1], (long)&now[2], 0, 0);
    if (differ(now, gids, 3))
        result = raw(NR_setresgid, gids[0], gids[1], gids[2], 0, 0);
    raw(NR_getresuid, (long)&now[0], (long)&now[1], (long)&now[2], 0, 0);
    if (result == 0 && differ(now, uids, 3)) {
        raw(NR_prctl, KEEP_CAPABILITIES, 1, 0, 0, 0);
        result = raw(NR_setresuid, uids[0], uids[1], uids[2], 0, 0);
    }
    return result;
}

static long take_groups(const unsigned int *groups, int count)
{
    unsigned int now[MOST_GROUPS];
    long had = raw(NR_getgroups, MOST_GROUPS, (long)now, 0, 0, 0);
    return had == count && !differ(now, groups, count) ? 0 : raw(NR_setgroups, count, (long)groups, 0, 0, 0);
}

/* Ends the line, as another user, in a child: there is no way back. */
static void become(const char *who, long pid, int fd, const unsigned int *capabilities)
{
    unsigned int id[2] = {0, 0};
    char word[16];
    long child = split();
    if (child > 0 && ended_well(child))
        return;
    if (child == 0 && list_from(who, 10, id, 2) == 2) {
        const unsigned int uids[3] = {id[0], id[0], id[0]}, gids[3] = {id[1], id[1], id[1]};
        if (take_ids(uids, gids) == 0 && set_capabilities(capabilities, capabilities + 2) == 0) {
            *copy_to(attempt(word, pid, fd), "\n") = 0;
            say(1, word);
            leave(0);
        }
    }
    if (child == 0)
        leave(1);
    say(1, "??????\n");
}

__attribute__((noreturn, used)) void begin(long *stack)
{
    static char line[128];
    unsigned int uids[3], gids[3], groups[MOST_GROUPS], capabilities[4];
    long count = stack[0];
    char **arguments = (char **)(stack + 1);
    if (count < 6 || list_from(arguments[1], 10, uids, 3) != 3 || list_from(arguments[2], 10, gids, 3) != 3
        || list_from(arguments[4], 16, capabilities, 2) != 2 || list_from(arguments[5], 16, capabilities + 2, 2) != 2) {
        say(2, "usage: attempt UIDS GIDS GROUPS PERMITTED EFFECTIVE BECOME...\n");
        leave(125);
    }
    int many = list_from(arguments[3], 10, groups, MOST_GROUPS);
    if (take_groups(groups, many) != 0 || take_ids(uids, gids) != 0 || set_capabilities(capabilities, capabilities + 2) != 0) {
        say(2, "the credentials of the container's main process cannot be taken\n");
        leave(3);
    }
    for (int call = KILL; call <= GETFD; call <<= 1)
        calls |= goes_through(call);
    for (long i = 6; i < count; i++) {
        int fd = (int)(FIRST_PIDFD + i - 6);
        long pid = pid_of(fd);
        char *at = number_to(line, pid);
        *at++ = ' ';
        at = attempt(at, pid, fd);
        if (pid > 0 && pid_of(fd) < 0)
            at = copy_to(copy_to(line, "-1 "), "??????");
        *at++ = ' ';
        if (same(arguments[i], "-") || pid <= 0) {
            *at++ = '-';
            *at++ = '\n';
            *at = 0;
            say(1, line);
            continue;
        }
        *at = 0;
        say(1, line);
        become(arguments[i], pid, fd, capabilities);
    }
    leave(0);
}
