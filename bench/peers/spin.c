/* The floor of a round trip: two processes that never sleep. Prints the median of N round trips in microseconds. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 64, WARM_UP = 1000 };

static void pin(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void take(int fd) {
    char buffer[SIZE];
    while (recv(fd, buffer, SIZE, MSG_DONTWAIT) != SIZE)
        ;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 100000, pair[2];
    char message[SIZE] = {0};
    double *times = malloc(rounds * sizeof *times);
    if (rounds < 1 || !times || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        return 1;
    pid_t child = fork();
    if (child == 0) {
        pin(1);
        for (;;) {
            take(pair[1]);
            if (send(pair[1], message, SIZE, 0) != SIZE)
                _exit(1);
        }
    }
    pin(0);
    for (int i = -WARM_UP; i < rounds; i++) {
        double start = now();
        if (send(pair[0], message, SIZE, 0) != SIZE)
            return 1;
        take(pair[0]);
        if (i >= 0)
            times[i] = now() - start;
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    qsort(times, rounds, sizeof *times, ascending);
    printf("%.2f\n", times[rounds / 2]);
    return 0;
}
