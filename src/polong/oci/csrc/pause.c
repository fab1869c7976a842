/* PID 1 of a Pod: holds its namespaces, reaps the orphans of its containers, ends on SIGTERM or SIGINT.
 * Other signals sent from inside do nothing: the kernel drops those that PID 1 has no handler for. No C library. */
#include "raw.h"

#ifndef VERSION
#define VERSION "unknown"
#endif

enum { SIG_INT = 2, SIG_TERM = 15, SIG_CHLD = 17, FLAG_NOCLDSTOP = 1, FLAG_RESTORER = 0x04000000, NO_HANG = 1, SET_NAME = 15 };

/* struct sigaction of the kernel. aarch64 has the field of the restorer as well, but returns through its vDSO where the flag is not set. */
struct action {
    void (*handler)(int);
    ulong_t flags;
    void (*restorer)(void);
    ulong_t mask;
};

#if defined(__x86_64__)
/* The kernel returns from a handler through this: rt_sigreturn is 15. */
void restore(void);
__asm__(".global restore\nrestore:\n mov $15, %eax\n syscall\n");
#endif

START;

static void reap(int number)
{
    (void)number;
    while (raw(NR_wait4, -1, 0, NO_HANG, 0, 0) > 0)
        ;
}

static void finish(int number)
{
    say(2, "Shutting down, got signal: ");
    say(2, number == SIG_TERM ? "Terminated\n" : "Interrupt\n");
    leave(0);
}

static int handle(int number, void (*handler)(int), ulong_t flags)
{
    struct action action = {.handler = handler, .flags = flags, .restorer = 0, .mask = 0};
#if defined(__x86_64__)
    action.flags |= FLAG_RESTORER;
    action.restorer = restore;
#endif
    return raw(NR_rt_sigaction, number, (long)&action, 0, 8, 0) < 0;
}

__attribute__((noreturn, used)) void begin(long *stack)
{
    char **arguments = (char **)(stack + 1);
    if (stack[0] > 1 && same(arguments[1], "-v")) {
        say(1, "pause " VERSION "\n");
        leave(0);
    }
    raw(NR_prctl, SET_NAME, (long)"pause", 0, 0, 0);
    if (raw(NR_getpid, 0, 0, 0, 0, 0) != 1)
        say(2, "Warning: pause should be the first process\n");
    if (handle(SIG_INT, finish, 0))
        leave(1);
    if (handle(SIG_TERM, finish, 0))
        leave(2);
    if (handle(SIG_CHLD, reap, FLAG_NOCLDSTOP))
        leave(3);
    for (;;)
        raw(NR_pause_or_ppoll, 0, 0, 0, 0, 8);
}
