/* Tries what a container must not be able to do; one line each: name, then the errno's name or "ok". Static, no arguments. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *word(int code)
{
    switch (code) {
    case 0: return "ok";
    case EPERM: return "EPERM";
    case ENOSYS: return "ENOSYS";
    case EACCES: return "EACCES";
    default: return strerror(code);
    }
}

static void told(const char *name, long result)
{
    printf("%s %s\n", name, word(result < 0 ? errno : 0));
    fflush(stdout);
}

/* In a child: what succeeds must not change the probe itself. */
#define TRY(name, call)                                                                                                                    \
    do {                                                                                                                                   \
        fflush(stdout);                                                                                                                    \
        pid_t child = fork();                                                                                                              \
        if (child == 0) {                                                                                                                  \
            errno = 0;                                                                                                                     \
            told(name, (long)(call));                                                                                                      \
            _exit(0);                                                                                                                      \
        }                                                                                                                                  \
        waitpid(child, NULL, 0);                                                                                                           \
    } while (0)

static long clone_user(void)
{
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return pid;
}

static long clone3_user(void)
{
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        _exit(0);
    return pid;
}

static long traced(void)
{
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    long result = ptrace(PTRACE_ATTACH, child, 0, 0);
    int code = errno;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    errno = code;
    return result;
}

int main(void)
{
    char data[128] = {0};

    TRY("unshare-user", unshare(CLONE_NEWUSER));
    TRY("unshare-mount", unshare(CLONE_NEWNS));
    TRY("clone-user", clone_user());
    TRY("clone3-user", clone3_user());
    TRY("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
    TRY("mount-cgroup", mount("none", "/tmp", "cgroup", 0, "memory"));
    TRY("umount", umount2("/proc", MNT_DETACH));
    TRY("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    TRY("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1));
    TRY("move_mount", syscall(SYS_move_mount, AT_FDCWD, "/", AT_FDCWD, "/tmp", 0));
    TRY("pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp"));
    TRY("setns", setns(open("/proc/1/ns/mnt", O_RDONLY), 0));
    TRY("bpf", syscall(SYS_bpf, 5, data, sizeof data));
    TRY("keyctl", syscall(SYS_keyctl, 0, -3, 1));
    TRY("add_key", syscall(SYS_add_key, "user", "x", "x", 1, -3));
    TRY("request_key", syscall(SYS_request_key, "user", "x", NULL, -3));
    TRY("userfaultfd", syscall(SYS_userfaultfd, 0));
    TRY("perf_event_open", syscall(SYS_perf_event_open, data, 0, -1, -1, 0));
    TRY("io_uring_setup", syscall(SYS_io_uring_setup, 1, data));
    TRY("open_by_handle_at", syscall(SYS_open_by_handle_at, 0, data, O_RDONLY));
    TRY("init_module", syscall(SYS_init_module, data, sizeof data, ""));
    TRY("kexec_load", syscall(SYS_kexec_load, 0, 0, 0, 0));
    TRY("syslog", syscall(SYS_syslog, 3, data, sizeof data));
    TRY("swapon", syscall(SYS_swapon, "/nothing", 0));
    TRY("settimeofday", syscall(SYS_settimeofday, data, 0));
    TRY("acct", syscall(SYS_acct, "/nothing"));
    TRY("quotactl", syscall(SYS_quotactl, 0, 0, 0, 0));
    TRY("iopl", syscall(SYS_iopl, 3));
    TRY("sethostname", sethostname("x", 1));
    TRY("mknod-disk", syscall(SYS_mknod, "/tmp/disk", 0060600, (7 << 8) | 0) < 0 ? -1 : open("/tmp/disk", O_RDONLY));
    TRY("ptrace-child", traced());
    return 0;
}
