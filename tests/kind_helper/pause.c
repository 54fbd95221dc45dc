/* The process that keeps a pod's namespaces: it reaps orphans and waits to be ended. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void reap(int number) {
    (void)number;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

static void end(int number) {
    (void)number;
    _exit(0);
}

int main(void) {
    signal(SIGCHLD, reap);
    signal(SIGINT, end);
    signal(SIGTERM, end);
    for (;;) {
        pause();
    }
}
