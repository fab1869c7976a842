/* dumpable FD UID GID PID...        FD is the number of an open descriptor of a user namespace; ids as they are in there
 *
 * Whether processes of that user namespace, which run as UID and GID there, are dumpable (prctl(2) PR_SET_DUMPABLE). No file says so: those of a
 * process that is not dumpable belong to root of its user namespace, as do all files of a process that is that root. So the kernel is
 * asked, as somebody whom it can refuse for that one reason: the same user in the same namespace with every capability permitted and all but
 * CAP_SYS_PTRACE in effect. get_robust_list(2) judges by PTRACE_MODE_READ_REALCREDS, that is by uids, gids and permitted capabilities,
 * which are all there, and by dumpable, which CAP_SYS_PTRACE alone would pass; it gives an address and does nothing.
 *
 * Runs in the node's other namespaces, on no terminal, for a millisecond, and cannot be looked at by the container: after setns(2) it
 * is not dumpable itself. Answers one letter for each: 1 dumpable, 0 not, ? not to be told (it has ended, or is refused for another
 * reason as well). Ends with 3 where it cannot enter. */
#include "raw.h"

enum { NEW_USER = 0x10000000, VERSION_3 = 0x20080522, SYS_PTRACE = 19, SET_DUMPABLE = 4, KEEP_CAPABILITIES = 8, NO_PERMISSION = -1 };

START;

struct header {
    unsigned int version;
    int pid;
};

struct set {
    unsigned int effective, permitted, inheritable;
};

static long look(long pid)
{
    ulong_t head, size;
    return raw(NR_get_robust_list, pid, (long)&head, (long)&size, 0, 0);
}

static long take(int ptrace)
{
    struct header header = {VERSION_3, 0};
    struct set sets[2];
    long result = raw(NR_capget, (long)&header, (long)sets, 0, 0, 0);
    if (result < 0)
        return result;
    sets[0].effective = sets[0].permitted & ~(ptrace ? 0U : 1U << SYS_PTRACE);
    sets[1].effective = sets[1].permitted;
    return raw(NR_capset, (long)&header, (long)sets, 0, 0, 0);
}

static long number(const char *text)
{
    long value = 0;
    while (*text >= '0' && *text <= '9' && value < 1L << 32)
        value = value * 10 + (*text++ - '0');
    return *text ? 0 : value;
}

__attribute__((used, noreturn)) void begin(long *stack)
{
    char **words = (char **)(stack + 1);
    raw(NR_prctl, SET_DUMPABLE, 0, 0, 0, 0);
    if (stack[0] < 4 || raw(NR_setns, number(words[1]), NEW_USER, 0, 0, 0) < 0)
        leave(3);
    long uid = number(words[2]), gid = number(words[3]);
    /* Who leaves root behind loses the capabilities with it, unless he says before that he wants them. */
    raw(NR_prctl, KEEP_CAPABILITIES, 1, 0, 0, 0);
    if (raw(NR_setresgid, gid, gid, gid, 0, 0) < 0 || raw(NR_setresuid, uid, uid, uid, 0, 0) < 0)
        leave(3);
    raw(NR_prctl, SET_DUMPABLE, 0, 0, 0, 0);
    for (words += 4; *words; words++) {
        long pid = number(*words);
        /* PID 0 would be ourselves. */
        const char *found = "?";
        if (pid > 0 && take(1) == 0 && look(pid) == 0 && take(0) == 0) {
            long result = look(pid);
            found = result == 0 ? "1" : result == NO_PERMISSION ? "0" : "?";
        }
        say(1, found);
    }
    leave(0);
}
