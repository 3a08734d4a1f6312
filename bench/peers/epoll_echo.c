/* The floor of an echo server: one thread, one epoll, one read and one write for each message.
   With - for PATH it listens on the socket that is its standard input, of whatever family. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: epoll_echo PATH\n");
        return 2;
    }
    int listener = STDIN_FILENO;
    if (strcmp(argv[1], "-")) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address))
            fail(argv[1]);
    }
    /* Fails on anything but TCP, where accepted sockets inherit it. */
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (listen(listener, 4096))
        fail(argv[1]);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[256];
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event))
        fail("epoll");
    static char buffer[65536];
    for (;;) {
        int count = epoll_wait(epoll, ready, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) {
                int stream = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (stream < 0)
                    continue;
                event = (struct epoll_event){.events = EPOLLIN, .data.fd = stream};
                epoll_ctl(epoll, EPOLL_CTL_ADD, stream, &event);
                continue;
            }
            ssize_t got = read(fd, buffer, sizeof buffer);
            /* A short write would lose bytes: this is a floor, and its clients keep one message in flight. */
            if (got <= 0 || write(fd, buffer, got) != got)
                close(fd);
        }
    }
}
