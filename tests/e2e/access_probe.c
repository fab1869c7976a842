/* Tries on other processes what the test computes. `probe sleep [hidden | UID GID]`; `probe try PID...` prints one line a PID:
 * PID see signal environ root cwd ptrace, 1 or 0 each; with `become UID GID` before, after taking that user as CAP_SETUID allows. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[64], into[4096];

static const char *of(const char *pid, const char *name)
{
    snprintf(path, sizeof path, "/proc/%s/%s", pid, name);
    return path;
}

static int environment(const char *pid)
{
    int fd = open(of(pid, "environ"), O_RDONLY);
    int fine = fd >= 0 && read(fd, into, sizeof into) >= 0;
    if (fd >= 0)
        close(fd);
    return fine;
}

static int attach(const char *pid)
{
    int number = atoi(pid);
    if (ptrace(PTRACE_SEIZE, number, 0, 0) != 0)
        return 0;
    ptrace(PTRACE_INTERRUPT, number, 0, 0);
    waitpid(number, 0, __WALL);
    ptrace(PTRACE_DETACH, number, 0, 0);
    return 1;
}

int main(int count, char **words)
{
    struct stat found;
    int index = 2;
    if (count > 1 && !strcmp(words[1], "sleep")) {
        if (count > 3 && (setgid(atoi(words[3])) != 0 || setuid(atoi(words[2])) != 0))
            return 1;
        if (count == 3 && prctl(PR_SET_DUMPABLE, 0) != 0)
            return 1;
        for (;;)
            pause();
    }
    if (count > 5 && !strcmp(words[2], "become")) {
        if (prctl(PR_SET_KEEPCAPS, 1) != 0 || setgid(atoi(words[4])) != 0 || setuid(atoi(words[3])) != 0)
            return 1;
        index = 5;
    }
    for (; index < count; index++) {
        const char *pid = words[index];
        int see = stat(of(pid, "stat"), &found) == 0;
        int root = readlink(of(pid, "root"), into, sizeof into) > 0;
        int cwd = readlink(of(pid, "cwd"), into, sizeof into) > 0;
        printf("%s %d %d %d %d %d %d\n", pid, see, kill(atoi(pid), 0) == 0, environment(pid), root, cwd, attach(pid));
    }
    return 0;
}
